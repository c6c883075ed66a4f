
function __tcpgreet_mode
    for word in (commandline -opc)
        switch $word
            case --listen --connect --probe --bench --bench-merge --exporter
                string sub --start 3 -- $word
                return
        end
    end
end

# Whether the mode of the command line is one of these, or none was given yet.
function __tcpgreet_accepts
    set --local mode (__tcpgreet_mode)
    not contains -- -- (commandline -opc)
    and begin
        test -z "$mode"
        or contains -- $mode $argv
    end
end

function __tcpgreet_is
    contains -- (__tcpgreet_mode) $argv
end

complete -c tcpgreet -f
complete -c tcpgreet -n '__tcpgreet_is listen connect probe bench exporter; and not contains -- -- (commandline -opc)' \
    -a 'localhost (__fish_print_hostnames)'
complete -c tcpgreet -n '__tcpgreet_is bench-merge' -F
complete -c tcpgreet -n '__tcpgreet_is probe; and contains -- -- (commandline -opc)' -F -a '(__fish_complete_command)'
