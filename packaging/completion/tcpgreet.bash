
# Sets mode, operands, given (the options before the cursor) and after (the place of --).
_tcpgreet_read() {
    local i word option=
    mode='' operands=0 after=0 given=' '
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ $word == = ]]; then
            continue # the shell splits --option=value into three words
        elif [[ -n $option ]]; then
            option=''
        elif [[ $word == -- ]]; then
            after=$i
            return
        elif [[ $word == -* ]]; then
            given+="$word "
            if [[ " ${_tcpgreet_modes[$word]-} " == *" ${word#--} "* ]]; then
                mode=${word#--}
            elif [[ -n ${_tcpgreet_values[$word]+is} ]]; then
                option=$word
            fi
        else
            operands=$((operands + 1))
        fi
    done
}

# Prints the options that the mode accepts, without those that were given once and are not repeatable.
_tcpgreet_offer() {
    local name letter
    for name in "${!_tcpgreet_modes[@]}"; do
        letter=${_tcpgreet_letters[$name]:-none}
        if [[ -n $mode && " ${_tcpgreet_modes[$name]} " != *" $mode "* ]] ||
            [[ -z ${_tcpgreet_repeatable[$name]-} && ($given == *" $name "* || $given == *" $letter "*) ]]; then
            continue
        fi
        echo "$name"
    done
}

_tcpgreet_operand() {
    case $mode:$operands in
    :*) mapfile -t COMPREPLY < <(compgen -W '--listen --connect --probe --bench --bench-merge --exporter' -- "$cur") ;;
    bench-merge:*)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        ;;
    *:0) mapfile -t COMPREPLY < <(compgen -A hostname -- "$cur") ;;
    *:1) mapfile -t COMPREPLY < <(compgen -A service -- "$cur" | sort -u) ;;
    esac
}

# COMMAND and its arguments, as it is completed alone where bash-completion is there.
_tcpgreet_command() {
    if [[ $mode != probe ]]; then
        return
    elif declare -F _command_offset >/dev/null; then
        _command_offset $((after + 1))
    elif ((COMP_CWORD == after + 1)); then
        mapfile -t COMPREPLY < <(compgen -c -- "$cur")
    else
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    fi
}

_tcpgreet() {
    local cur=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]} mode operands after given
    COMPREPLY=()
    _tcpgreet_read
    if [[ $cur == = ]]; then
        cur=''
    elif [[ $option == = ]]; then
        option=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    if ((after > 0)); then
        _tcpgreet_command
    elif [[ ${_tcpgreet_values[$option]-} == FILE ]]; then
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    elif [[ -n ${_tcpgreet_values[$option]+is} ]]; then
        mapfile -t COMPREPLY < <(compgen -W "${_tcpgreet_values[$option]}" -- "$cur")
        [[ ${COMPREPLY[0]-} != *[:/] ]] || compopt -o nospace
    elif [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_tcpgreet_offer)" -- "$cur" | sort)
    else
        _tcpgreet_operand
    fi
} && complete -F _tcpgreet tcpgreet
