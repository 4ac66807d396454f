# Completion of dv for bash. Made from the app by `make docs`: changes here are lost.

_dv_completion() {
    local line=${COMP_LINE:0:COMP_POINT} before="" value
    local word=${line##*[[:space:]]} breaks=${COMP_WORDBREAKS//[^@=:]/}
    # Bash puts a reply after the last of its word breaks, such as the = of an option. An @, as before a version,
    # it takes to the reply, which says nothing of the option.
    if [[ -n $breaks && $word == *[$breaks]* ]]; then
        before=${word%"${word##*[$breaks]}"}
        before=${before%@}
        before=${before#--*=}
    fi
    COMPREPLY=()
    while IFS=$'\t' read -r value _; do
        if [[ -n $value ]]; then
            COMPREPLY+=("${value#"$before"}")
        fi
    done < <(env _DV_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=get-args _TYPER_COMPLETE_ARGS="$line" "$1" 2>/dev/null)
}

complete -o default -F _dv_completion dv
