#compdef PROGRAM
# Completion of PROGRAM for zsh.
_PROGRAM_completion() {
    local kind word help
    local -a lines plain described
    (( $+commands[PROGRAM] )) || return 1
    lines=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT - 1)) VARIABLE=zsh_complete PROGRAM 2>/dev/null)}")
    for kind word help in "${(@)lines}"; do
        case $kind in
            plain)
                if [[ $help == _ ]]; then
                    plain+=("$word")
                else
                    described+=("${word//:/\\:}:$help")
                fi
                ;;
            file) _path_files -f ;;
            dir) _path_files -/ ;;
        esac
    done
    (( $#described )) && _describe -V unsorted described -U
    (( $#plain )) && compadd -U -V unsorted -a plain
}
compdef _PROGRAM_completion PROGRAM
