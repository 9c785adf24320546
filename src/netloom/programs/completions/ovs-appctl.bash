# bash completion for ovs-appctl: options, running daemons, the commands of the daemon
# at hand, and names of bridges and ports.

_netloom_appctl()
{
    local cur=${COMP_WORDS[COMP_CWORD]} word command= i
    local -a target=() usage=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in
        -t | --target)
            [[ ${COMP_WORDS[i + 1]} == = ]] && ((i++))
            ((++i < COMP_CWORD)) && target=(-t "${COMP_WORDS[i]}") ;;
        -T | --timeout | -f | --format)
            [[ ${COMP_WORDS[i + 1]} == = ]] && ((i++))
            ((i++)) ;;
        -*) ;;
        *) command=$word; break ;;
        esac
    done
    local rundir=${OVS_RUNDIR:-/var/run/openvswitch} previous=${COMP_WORDS[COMP_CWORD - 1]}
    if [[ -z $command && ($previous == -t || $previous == --target || ($previous == = && ${COMP_WORDS[COMP_CWORD - 2]} == --target)) ]]; then
        [[ $cur == = ]] && cur=
        COMPREPLY=($(compgen -W "$(cd "$rundir" 2>/dev/null && for word in *.pid; do echo "${word%.pid}"; done) $rundir/*.ctl" -- "$cur"))
    elif [[ -z $command && $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$(command ovs-appctl --option 2>/dev/null | sed 's/=.*$/=/; s/ .*$//')" -- "$cur"))
        [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
    elif [[ -z $command ]]; then
        COMPREPLY=($(compgen -W "$(command ovs-appctl -T 1 "${target[@]}" list-commands 2>/dev/null | awk 'NR > 1 { print $1 }')" -- "$cur"))
    else
        local names= bridge
        for bridge in $(command ovs-vsctl --no-wait --timeout=1 list-br 2>/dev/null); do
            names+=" $bridge $(command ovs-vsctl --no-wait --timeout=1 list-ports "$bridge" 2>/dev/null)"
        done
        COMPREPLY=($(compgen -W "$names" -- "$cur"))
    fi
}

complete -F _netloom_appctl ovs-appctl
