"""The completion scripts of bash, zsh and fish, for a shell's start-up file and for the folder that it looks in.

They ask `cronlock`, and read one answer a line (cli/shell_scripts.py). zsh's has two uses: a start-up file evaluates
it, and zsh loads it by its first line from a folder of functions, as a function that is called at once.
"""

BASH = r"""_cronlock_completion() {
    local kind word
    COMPREPLY=()
    while IFS=$'\t' read -r kind word; do
        case $kind in
            plain) COMPREPLY+=("$word") ;;
            file) compopt -o default ;;
            command)
                compopt -o default
                [[ $2 == */* ]] || mapfile -t COMPREPLY < <(compgen -c -- "$2") ;;
        esac
    done < <(env COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_WORD="$2" _CRONLOCK_COMPLETE=bash_complete "$1" 2>/dev/null)
}
complete -F _cronlock_completion cronlock
"""
ZSH = r"""#compdef cronlock
_cronlock_completion() {
    local answer line="${(j: :)words[1,CURRENT-1]} $QIPREFIX$PREFIX"
    local -a parts found
    for answer in ${(f)"$(env COMP_LINE=$line _CRONLOCK_COMPLETE=zsh_complete $words[1] 2>/dev/null)"}; do
        parts=("${(@ps:\t:)answer}")
        case $parts[1] in
            plain) found+=("$parts[2]${parts[3]:+:$parts[3]}") ;;
            file) compset -P '--[a-z-]#='; _files ;;
            command) _command_names -e ;;
        esac
    done
    (( $#found )) && _describe cronlock found
}
if [[ $funcstack[1] == _cronlock ]]; then
    _cronlock_completion "$@"
else
    compdef _cronlock_completion cronlock
fi
"""
FISH = r"""function _cronlock_completion
    set -l line (commandline -cp | string join ' ')
    for answer in (env COMP_LINE=$line _CRONLOCK_COMPLETE=fish_complete cronlock 2>/dev/null)
        set -l parts (string split \t -- $answer)
        switch $parts[1]
            case plain
                printf '%s\t%s\n' $parts[2] $parts[3]
            case file
                set -l option (string match -r -- '^--[a-z-]+=' (commandline -ct))
                string join \n -- "$option"(__fish_complete_path (string replace -- "$option" '' (commandline -ct)))
            case command
                complete -C (commandline -ct)
        end
    end
end
complete -c cronlock -f -a '(_cronlock_completion)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
