
# Sets words: those of the line up to the cursor, which the shell splits at = and :, too.
_tcpgreet_join() {
    local i rest=${COMP_LINE:0:COMP_POINT}
    words=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        if ((i == 0)) || [[ $rest == [[:space:]]* ]]; then
            words+=('')
            rest=${rest#"${rest%%[![:space:]]*}"}
        fi
        words[-1]+=${rest:0:${#COMP_WORDS[i]}}
        rest=${rest:${#COMP_WORDS[i]}}
        ((after == 0)) && [[ ${words[-1]} == -- && $rest == [[:space:]]* ]] && after=$i # as _command_offset counts
    done
}

# Sets mode, operands and given (the options before the cursor).
_tcpgreet_read() {
    local word option=
    mode='' operands=0 given=' '
    for word in "${words[@]:1:${#words[@]}-2}"; do
        if [[ -n $option ]]; then
            option=''
        elif [[ $word == -- ]]; then
            return
        elif [[ $word == -* ]]; then
            given+="${word%%=*} "
            if [[ " ${_tcpgreet_modes[$word]-} " == *" ${word#--} "* ]]; then
                mode=${word#--}
            elif [[ -n ${_tcpgreet_values[$word]+is} ]]; then
                option=$word
            fi
        elif [[ $word == *]:* || ($word == *:* && $word != *:*:*) ]]; then
            operands=$((operands + 2)) # HOST:PORT
        else
            operands=$((operands + 1))
        fi
    done
}

# Offers words, of which a list has several: only what the shell replaces, from the last = or : on, is left of them.
_tcpgreet_words() {
    local base=''
    [[ $1 != *=* ]] || base=${cur%"${cur##*,}"}
    mapfile -t COMPREPLY < <(compgen -W "$1" -P "$base" -- "${cur#"$base"}")
    _tcpgreet_cut
    [[ ${COMPREPLY[0]-} != *[:/=] ]] || compopt -o nospace
}

_tcpgreet_files() {
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    _tcpgreet_cut
}

_tcpgreet_cut() {
    local last=${COMP_WORDS[COMP_CWORD]}
    [[ $last != [=:]* ]] || last=''
    if ((${#last} > ${#cur})); then # --option=value is one word where = does not split
        COMPREPLY=("${COMPREPLY[@]/#/"${last%"$cur"}"}")
    else
        COMPREPLY=("${COMPREPLY[@]#"${cur%"$last"}"}")
    fi
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
    bench-merge:*) _tcpgreet_files ;;
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
    local words cur option mode operands after=0 given
    COMPREPLY=()
    _tcpgreet_join
    _tcpgreet_read
    cur=${words[-1]} option=${words[-2]-}
    if [[ $cur == --*=* ]]; then
        option=${cur%%=*} cur=${cur#*=}
    fi
    if ((after > 0)); then
        _tcpgreet_command
    elif [[ ${_tcpgreet_values[$option]-} == FILE ]]; then
        _tcpgreet_files
    elif [[ -n ${_tcpgreet_values[$option]+is} ]]; then
        _tcpgreet_words "${_tcpgreet_values[$option]}"
    elif [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_tcpgreet_offer)" -- "$cur" | sort)
    else
        _tcpgreet_operand
    fi
} && complete -F _tcpgreet tcpgreet
