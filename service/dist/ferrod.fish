# fish completion for ferrod: words and settings as the program itself lists them.
function __ferrod_settings
	env -i PATH="$PATH" (commandline -opc)[1] --help 2>/dev/null | string replace -rf '^  (--[a-z0-9-]*).*' '$1'
end
function __ferrod_is_key
	contains -- key (commandline -opc)
end
complete -c ferrod -n 'not __ferrod_is_key' -f -a 'check-config healthcheck backup key state help version (__ferrod_settings)'
complete -c ferrod -n 'not __ferrod_is_key' -l config -r -F
complete -c ferrod -n 'not __ferrod_is_key' -l keys-file -r -F
complete -c ferrod -n 'not __ferrod_is_key' -l log-level -x -a 'debug info warn error'
complete -c ferrod -n 'not __ferrod_is_key' -l log-format -x -a 'json text'
complete -c ferrod -n 'not __ferrod_is_key' -l compression -x -a 'auto on off'
complete -c ferrod -n 'not __ferrod_is_key' -l tls-min-version -x -a '1.2 1.3'
complete -c ferrod -n __ferrod_is_key -f -a 'new seal'
complete -c ferrod -n '__fish_seen_subcommand_from state' -f -a export
complete -c ferrod -n '__fish_seen_subcommand_from healthcheck' -f -a ready
complete -c ferrod -n __ferrod_is_key -l name -x
complete -c ferrod -n __ferrod_is_key -l scopes -x -a '(__fish_append , read write schema sql admin)'
complete -c ferrod -n __ferrod_is_key -l connections -x
complete -c ferrod -n __ferrod_is_key -l sets -x
complete -c ferrod -n __ferrod_is_key -l role -x
complete -c ferrod -n __ferrod_is_key -l subject -x
complete -c ferrod -n __ferrod_is_key -l append -r -F
