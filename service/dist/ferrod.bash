# bash completion for ferrod: words and settings as the program itself lists them.
_ferrod()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
	case $prev in
	--config | --keys-file | --append | --*-file) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
	--sqlite-dir) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
	--log-level) mapfile -t COMPREPLY < <(compgen -W "debug info warn error" -- "$cur"); return ;;
	--log-format) mapfile -t COMPREPLY < <(compgen -W "json text" -- "$cur"); return ;;
	--compression) mapfile -t COMPREPLY < <(compgen -W "auto on off" -- "$cur"); return ;;
	--tls-min-version) mapfile -t COMPREPLY < <(compgen -W "1.2 1.3" -- "$cur"); return ;;
	--scopes)
		local given=""
		[[ $cur == *,* ]] && given=${cur%,*},
		mapfile -t COMPREPLY < <(compgen -P "$given" -W "read write schema sql admin" -- "${cur##*,}")
		return ;;
	key) mapfile -t COMPREPLY < <(compgen -W "new seal" -- "$cur"); return ;;
	state) mapfile -t COMPREPLY < <(compgen -W "export" -- "$cur"); return ;;
	esac
	if [[ ${COMP_WORDS[1]-} == key ]]; then
		mapfile -t COMPREPLY < <(compgen -W "--name --scopes --connections --sets --role --subject --append" -- "$cur")
		return
	fi
	local ready=""
	[[ $prev == healthcheck ]] && ready=ready
	mapfile -t COMPREPLY < <(compgen -W "$ready check-config healthcheck backup key state help version --config --version --help
		$(env -i PATH="$PATH" "${COMP_WORDS[0]}" --help 2>/dev/null | sed -n 's/^  \(--[a-z0-9-]*\).*/\1/p')" -- "$cur")
}
complete -F _ferrod ferrod
