
# NAME=RANGE,...
_tcpgreet_list() {
    _values -s , time "${(@)@%=}:range: "
}

_tcpgreet() {
    local word mode entry
    local -a specs
    local -i after=${words[(i)--]}
    for word in "${(@)words[2,-1]}"; do
        case $word in
        --) break ;;
        --(listen|connect|probe|bench|bench-merge|exporter)) mode=${word#--} ;;
        esac
    done
    if [[ $mode == probe ]] && ((after < CURRENT)); then # COMMAND and its arguments
        shift $after words
        ((CURRENT -= after))
        _normal
        return
    fi
    for entry in "${(@)_tcpgreet_specs}"; do
        if [[ -z $mode || $entry == '|'* || " ${entry%%|*} " == *" $mode "* ]]; then
            specs+=("${entry#*|}")
        fi
    done
    case $mode in
    listen | exporter) specs+=('*:host or port:_hosts') ;;
    connect) specs+=('1:host:_hosts' '2:port:_ports' '*:name: ') ;;
    probe | bench) specs+=('1:host:_hosts' '2:port:_ports') ;;
    bench-merge) specs+=('*:file:_files') ;;
    esac
    _arguments -S "${(@)specs}"
}

_tcpgreet "$@"
