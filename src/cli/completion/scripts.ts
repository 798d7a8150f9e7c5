const BASH = `# bash completion for novactl
_novactl() {
    local value
    COMPREPLY=()
    while IFS=$'\\t' read -r value _; do
        if [[ $value == :files ]]; then
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}")
            return
        fi
        COMPREPLY+=("$value")
    done < <("\${COMP_WORDS[0]}" __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _novactl novactl
`;

const ZSH = `#compdef novactl
_novactl() {
    local value description
    local -a candidates
    while IFS=$'\\t' read -r value description; do
        if [[ $value == :files ]]; then
            _files
            return
        fi
        candidates+=("\${value//:/\\\\:}:$description")
    done < <("\${words[1]}" __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)
    _describe -V novactl candidates
}
# Sourced, it registers itself; found through fpath, it is being called.
if [[ $funcstack[1] == _novactl ]]; then
    _novactl "$@"
else
    compdef _novactl novactl
fi
`;

const FISH = `# fish completion for novactl
function __novactl_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l found (command $words[1] __complete -- $words[2..-1] "$current" 2>/dev/null)
    if test "$found[1]" = :files
        __fish_complete_path "$current"
    else if test (count $found) -gt 0
        printf '%s\\n' $found
    end
end
complete -c novactl -f -a '(__novactl_complete)'
`;

/** They ask `novactl __complete`, so they always fit the installed novactl. */
export const COMPLETION_SCRIPTS = { bash: BASH, zsh: ZSH, fish: FISH } as const;
export type Shell = keyof typeof COMPLETION_SCRIPTS;
