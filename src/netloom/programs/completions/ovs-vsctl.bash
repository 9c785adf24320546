# bash completion for ovs-vsctl: options, commands, and what each command takes, as the tool itself
# lists them (`--options`, `--commands`); names of bridges, ports, tables, records and columns from
# the database, as far as it answers.

_netloom_vsctl_ask()
{
    # One line for each word of the answer; silence if the database does not answer.
    command ovs-vsctl --no-wait --timeout=1 "${_netloom_vsctl_db[@]}" "$@" 2>/dev/null
}

_netloom_vsctl_tables()
{
    command ovsdb-client list-tables --timeout=1 --no-headings 2>/dev/null | tr -d ' "'
}

_netloom_vsctl_columns()
{
    command ovsdb-client list-columns --timeout=1 --no-headings Open_vSwitch "$1" 2>/dev/null |
        awk '{ gsub(/"/, ""); print $1 }'
}

_netloom_vsctl_records()
{
    _netloom_vsctl_ask --bare --columns=name list "$1" || _netloom_vsctl_ask --bare --columns=_uuid list "$1"
}

# The words that may stand for an argument of the kind $1; ${args[@]} are those before it.
_netloom_vsctl_words()
{
    local kind
    for kind in ${1//|/ }; do
        case $kind in
        BRIDGE | PARENT) _netloom_vsctl_ask list-br ;;
        PORT | BOND | SYSIFACE)
            local bridge
            for bridge in $(_netloom_vsctl_ask list-br); do _netloom_vsctl_ask list-ports "$bridge"; done ;;
        IFACE)
            local bridge
            for bridge in $(_netloom_vsctl_ask list-br); do _netloom_vsctl_ask list-ifaces "$bridge"; done ;;
        MODE) echo standalone secure ;;
        TABLE) _netloom_vsctl_tables ;;
        RECORD) _netloom_vsctl_records "${args[0]}" ;;
        COLUMN*) _netloom_vsctl_columns "${args[0]}" ;;
        NEW-PORT) command ls /sys/class/net 2>/dev/null ;;
        esac
    done
}

_netloom_vsctl()
{
    local cur=${COMP_WORDS[COMP_CWORD]} word i
    local -a _netloom_vsctl_db=() args=() usage=()
    local command= options= kind
    # What was typed since the last `--`. The shell takes `--db=x` apart at `=` and `:`.
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in
        --) command= args=() ;;
        --db) [[ ${COMP_WORDS[i + 1]} == = ]] && _netloom_vsctl_db=("--db=${COMP_WORDS[i + 2]}${COMP_WORDS[i + 3]}${COMP_WORDS[i + 4]}") ;;
        -* | = | :) ;;
        *)
            if [[ -n $command ]]; then
                args+=("$word")
            elif [[ ${COMP_WORDS[i - 1]} != [=:] ]]; then
                command=$word
            fi ;;
        esac
    done
    local IFS=$' \t\n'
    if [[ -z $command ]]; then
        if [[ $cur == -* ]]; then
            options=$(command ovs-vsctl --options 2>/dev/null | sed 's/=ARG$/=/; s/ ARG$//')
            options+=" $(command ovs-vsctl --commands 2>/dev/null | cut -d, -f1 | tr -d '[]')"
            COMPREPLY=($(compgen -W "$options" -- "$cur"))
            [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
        else
            COMPREPLY=($(compgen -W "$(command ovs-vsctl --commands 2>/dev/null | cut -d, -f2)" -- "$cur"))
        fi
        return
    fi
    usage=($(command ovs-vsctl --commands 2>/dev/null | awk -F, -v name="$command" '$2 == name { print $3 }'))
    i=${#args[@]}
    # The last kind of argument may come again, if its mark says so.
    ((i >= ${#usage[@]})) && i=$((${#usage[@]} - 1))
    ((i < 0)) && return
    kind=${usage[i]}
    if ((${#args[@]} > i)) && [[ $kind != [*+]* ]]; then
        COMPREPLY=($(compgen -W "--" -- "$cur"))
        return
    fi
    COMPREPLY=($(compgen -W "$(_netloom_vsctl_words "${kind:1}")" -- "$cur"))
}

complete -F _netloom_vsctl ovs-vsctl
