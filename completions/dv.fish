# Completion of dv for fish. Made from the app by `make docs`: changes here are lost.

function __dv_completion
    set -l line (commandline -cp | string collect)
    set -l word (commandline -ct)
    # After --option= comes its value, and fish replaces the word as a whole.
    set -l before (string match -r -- '^--[^=]+=' $word)
    set -l values (env _DV_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=get-args _TYPER_COMPLETE_ARGS="$line" (commandline -op)[1] 2>/dev/null | string match -rv '^$')
    if test (count $values) -gt 0
        printf '%s\n' "$before"$values
    else
        __fish_complete_path $word
    end
end

complete -c dv -e
complete -c dv -f -a '(__dv_completion)'
