# Completion of PROGRAM for bash.
_PROGRAM_completion() {
    local IFS=$'\n' kind word
    COMPREPLY=()
    while IFS=, read -r kind word; do
        case $kind in
            plain) COMPREPLY+=("$word") ;;
            file) compopt -o default ;;
            dir) compopt -o dirnames ;;
        esac
    done < <(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD="$COMP_CWORD" VARIABLE=bash_complete "$1" 2>/dev/null)
}
complete -o nosort -F _PROGRAM_completion PROGRAM
