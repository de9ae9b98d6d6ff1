package sqltext

// Effect is what a statement leaves behind on its connection, for the statements that come after it
// there and for none on other connections.
type Effect uint8

const (
	NoEffect Effect = iota
	Tunes           // settings that have nothing to do with what a read finds, or a write does
	Differs         // a read may find something else there than on other connections, a write do something else
)

// leftBy returns what a statement leaves behind on its connection.
func leftBy(tokens []token) Effect {
	for _, c := range calls(tokens) {
		if c.name == "set_config" || c.name == "load_extension" {
			return Differs
		}
	}
	if len(tokens) == 0 || tokens[0].kind != word {
		return NoEffect
	}
	switch rest := tokens[1:]; tokens[0].low {
	case "attach", "detach", "use", "reset", "discard", "load":
		if tokens[0].is("load") && len(rest) > 0 && (rest[0].is("data") || rest[0].is("xml")) {
			return NoEffect
		}
		return Differs
	case "pragma":
		if pragmaReads(rest) {
			return NoEffect
		}
		if len(rest) > 2 && rest[1].mark(".") {
			rest = rest[2:]
		}
		return tuned(rest, pragmaTunes)
	case "set":
		return settingOf(rest)
	case "create", "declare":
		for _, t := range rest[:min(4, len(rest))] {
			if t.is("temp") || t.is("temporary") {
				return Differs
			}
		}
	default:
		for i, t := range rest {
			if i > 0 && rest[i-1].is("into") && (t.is("temp") || t.is("temporary")) {
				return Differs
			}
		}
	}
	return NoEffect
}

// settingOf returns what SET leaves behind, by what follows it.
func settingOf(rest []token) Effect {
	for len(rest) > 1 && (rest[0].is("session") || rest[0].is("global")) {
		rest = rest[1:]
	}
	if len(rest) == 0 {
		return Differs
	}
	switch {
	case rest[0].is("local"), rest[0].is("transaction"), rest[0].is("constraints"):
		return NoEffect // for the rest of a transaction
	}
	for _, t := range rest {
		if t.mark(",") {
			return Differs // several settings
		}
	}
	return tuned(rest, setTunes)
}

func tuned(rest []token, tunes wordSet) Effect {
	if len(rest) > 0 && rest[0].in(tunes) {
		return Tunes
	}
	return Differs
}

// pragmaTunes are the settings of SQLite that do not change what a read finds, or a write does.
var pragmaTunes = words(`analysis_limit application_id auto_vacuum automatic_index busy_timeout cache_size cache_spill
	cell_size_check checkpoint_fullfsync fullfsync incremental_vacuum journal_mode
	journal_size_limit mmap_size optimize page_size secure_delete soft_heap_limit synchronous
	temp_store threads user_version wal_autocheckpoint wal_checkpoint`)

// setTunes are those of other databases.
var setTunes = words(`application_name client_min_messages idle_in_transaction_session_timeout
	idle_session_timeout innodb_lock_wait_timeout interactive_timeout lock_timeout lock_wait_timeout
	maintenance_work_mem max_execution_time max_statement_time net_read_timeout net_write_timeout
	statement_timeout synchronous_commit transaction_timeout wait_timeout work_mem`)
