# Completion of klamm for bash. What may follow is asked of klamm itself (klamm help --words), so
# that this file knows no command and no option.

_klamm()
{
	local cur prev words cword split
	_init_completion -s -n : 2>/dev/null || {
		cur=${COMP_WORDS[COMP_CWORD]}
		prev=${COMP_WORDS[COMP_CWORD - 1]}
		words=("${COMP_WORDS[@]}")
		cword=$COMP_CWORD
	}

	case $prev in
	--command-config | --add-config-file | --from-file | --save | --output | -l | --lines | --files)
		compopt -o filenames 2>/dev/null
		COMPREPLY=($(compgen -f -- "$cur"))
		return
		;;
	-z | --compression)
		COMPREPLY=($(compgen -W "none gzip snappy lz4 zstd" -- "$cur"))
		return
		;;
	-a | --acks)
		COMPREPLY=($(compgen -W "all 1 0" -- "$cur"))
		return
		;;
	-o | --offset | --from)
		COMPREPLY=($(compgen -W "beginning end s@ e@" -- "$cur"))
		return
		;;
	--state)
		COMPREPLY=($(compgen -W "Stable PreparingRebalance CompletingRebalance Empty Dead" -- "$cur"))
		return
		;;
	--type)
		COMPREPLY=($(compgen -W "classic consumer" -- "$cur"))
		return
		;;
	--entity-type)
		COMPREPLY=($(compgen -W "topics brokers broker-loggers" -- "$cur"))
		return
		;;
	--isolation-level)
		COMPREPLY=($(compgen -W "read_committed read_uncommitted" -- "$cur"))
		return
		;;
	esac

	# The words of the command so far, without options.
	local -a said=()
	local i
	for ((i = 1; i < cword; i++)); do
		[[ ${words[i]} == -* ]] && break
		said+=("${words[i]}")
	done

	local choices
	choices=$("${words[0]}" help --words -- "${said[@]}" 2>/dev/null) || return
	COMPREPLY=($(compgen -W "$choices" -- "$cur"))
	[[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace 2>/dev/null

	# What is no option of log dump, produce or consume may be a file.
	if [[ ${#COMPREPLY[@]} -eq 0 ]]; then
		compopt -o filenames 2>/dev/null
		COMPREPLY=($(compgen -f -- "$cur"))
	fi
}

complete -F _klamm klamm
