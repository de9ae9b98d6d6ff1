package sqltext

import "strings"

type wordSet map[string]struct{}

func (s wordSet) has(low string) bool { _, ok := s[low]; return ok }

func words(list ...string) wordSet {
	set := wordSet{}
	for _, l := range list {
		for _, w := range strings.Fields(l) {
			set[w] = struct{}{}
		}
	}
	return set
}

type effect uint8

const (
	unknown  effect = iota // may do anything
	volatile               // changes no rows, but its answer changes by itself
	stable                 // depends on its arguments alone
)

// effectOf tells what a call of the function does in a dialect; name is in lower case. What is not
// built into the servers of the dialect may be a function of the user's own, and do anything.
func effectOf(dialect, name string) effect {
	switch {
	case !builtIn(dialect, name):
		return unknown
	case volatileFunctions.has(name):
		return volatile
	case stableFunctions.has(name):
		return stable
	}
	for _, p := range volatileFamilies {
		if strings.HasPrefix(name, p) {
			return volatile
		}
	}
	return stable
}

func builtIn(dialect, name string) bool {
	if types.has(name) {
		return true
	}
	switch dialect {
	case sqlite:
		return sqliteFunctions.has(name) || strings.HasPrefix(name, "pragma_")
	case mysql:
		return mysqlFunctions.has(name)
	case postgres:
		// uuid-ossp is everywhere, and its names are long enough to be nobody else's.
		return postgresFunctions.has(name) || strings.HasPrefix(name, "uuid_generate_")
	case sqlserver:
		// A user's function is called with its schema's name before it.
		return stableFunctions.has(name) || volatileFunctions.has(name) || timeFunctions.has(name)
	}
	return sqliteFunctions.has(name) && mysqlFunctions.has(name) && postgresFunctions.has(name)
}

// volatileFamilies read the catalog, statistics or the state of the session.
var volatileFamilies = []string{
	"uuid_generate_", "txid_", "pg_current_", "pg_get_", "pg_stat_get_", "pg_advisory_",
	"pg_try_advisory_", "sysdatetime", "pragma_",
}

// timeFunctions answer with the current time if they are given none or "now".
var timeFunctions = words(`date time datetime julianday unixepoch strftime timediff`)

// volatileWords are functions without parentheses, in every dialect.
var volatileWords = words(`current_timestamp current_date current_time localtime localtimestamp
	utc_date utc_time utc_timestamp current_user session_user system_user current_role
	current_schema current_catalog current_transform_group current_timezone
	tablesample rownum sysdate systimestamp sql_calc_found_rows nextval currval`)

// clockWords are those of volatileWords that are the current time, or the current date.
var clockWords = words(`current_timestamp current_date current_time localtime localtimestamp
	utc_date utc_time utc_timestamp sysdate systimestamp`)

// clockFunctions are those of volatileFunctions that depend on the current time, and on nothing
// else besides their arguments.
var clockFunctions = words(`now sysdate curdate curtime getdate getutcdate utc_date utc_time
	utc_timestamp current_timestamp current_date current_time localtime localtimestamp clock_timestamp
	statement_timestamp transaction_timestamp timeofday age unix_timestamp
	sysdatetime sysdatetimeoffset sysutcdatetime`)

var volatileFunctions = words(
	// chance
	`random rand randomblob random_bytes random_normal newid newsequentialid uuid uuid_short
	gen_random_uuid gen_random_bytes gen_salt uuidv4 uuidv7 crypt_gen_random`,
	// the clock
	`now sysdate curdate curtime getdate getutcdate utc_date utc_time utc_timestamp
	current_timestamp current_date current_time localtime localtimestamp clock_timestamp
	statement_timestamp transaction_timestamp timeofday age unix_timestamp current_timezone
	pg_conf_load_time pg_postmaster_start_time pg_xact_commit_timestamp`,
	// sequences and what the last statement did
	`nextval currval lastval last_insert_id last_insert_rowid changes total_changes found_rows
	row_count rowcount_big scope_identity ident_current ident_incr ident_seed xact_state
	error_message error_number error_line error_procedure error_severity error_state trancount`,
	// the session and its settings
	`connection_id pg_backend_pid current_setting user current_user session_user system_user
	current_role database schema current_schema current_schemas current_database current_catalog
	app_name host_name host_id db_name db_id schema_name schema_id user_name user_id suser_name
	suser_sname suser_id suser_sid original_login session_context context_info connectionproperty
	sessionproperty serverproperty databasepropertyex has_dbaccess is_member is_srvrolemember
	is_rolemember inet_client_addr inet_client_port inet_server_addr inet_server_port
	pg_my_temp_schema pg_is_other_temp_schema pg_trigger_depth pg_is_in_recovery pg_listening_channels
	pg_notification_queue_usage pg_blocking_pids pg_last_xact_replay_timestamp
	pg_last_wal_receive_lsn pg_last_wal_replay_lsn pg_snapshot_xmin pg_snapshot_xmax
	getvariable min_active_rowversion`,
	// waiting, locks and messages, which change no rows
	`sleep pg_sleep pg_sleep_for pg_sleep_until benchmark get_lock release_lock release_all_locks
	is_free_lock is_used_lock pg_notify`,
	// the catalog: privileges, the search path, sizes, comments
	`has_table_privilege has_any_column_privilege has_column_privilege has_database_privilege
	has_foreign_data_wrapper_privilege has_function_privilege has_language_privilege
	has_schema_privilege has_sequence_privilege has_server_privilege has_tablespace_privilege
	has_type_privilege has_parameter_privilege pg_has_role row_security_active
	has_perms_by_name pg_table_is_visible pg_type_is_visible pg_function_is_visible
	pg_operator_is_visible pg_opclass_is_visible pg_opfamily_is_visible pg_conversion_is_visible
	pg_collation_is_visible pg_ts_config_is_visible pg_ts_dict_is_visible pg_ts_parser_is_visible
	pg_ts_template_is_visible pg_statistics_obj_is_visible obj_description col_description
	shobj_description to_regclass to_regcollation to_regnamespace to_regoper to_regoperator
	to_regproc to_regprocedure to_regrole to_regtype to_regtypemod pg_relation_size
	pg_total_relation_size pg_table_size pg_indexes_size pg_database_size pg_tablespace_size
	pg_relation_filenode pg_relation_filepath pg_filenode_relation pg_relation_is_updatable
	pg_column_is_updatable pg_index_column_has_property pg_index_has_property
	pg_indexam_has_property pg_sequence_last_value pg_sequence_parameters pg_identify_object
	pg_describe_object pg_partition_root pg_partition_tree pg_partition_ancestors pg_tablespace_location
	object_id object_name object_schema_name object_definition objectproperty objectpropertyex
	col_name col_length columnproperty index_col indexproperty indexkey_property stats_date
	type_id type_name typeproperty filegroup_name filegroup_id file_name file_id fulltextcatalogproperty
	fn_listextendedproperty sqlite_offset`,
)

// types may be followed by a length, and most are conversions when called.
var types = words(`bigint binary bit blob bool boolean bpchar box bytea char character cidr circle
	clob date datetime datetime2 datetimeoffset dec decimal double enum fixed float float4 float8
	inet int int2 int4 int8 integer json jsonb line lseg macaddr macaddr8 mediumblob mediumint
	mediumtext money national nchar nclob ntext number numeric nvarchar oid path point polygon real
	rowversion signed smalldatetime smallint smallmoney sql_variant text time timestamp timestamptz
	timetz tinyblob tinyint tinytext tsquery tsvector uniqueidentifier unsigned varbinary varbit
	varchar varchar2 nvarchar2 varying xml year hierarchyid geometry geography linestring
	multipoint multilinestring multipolygon geometrycollection halfvec sparsevec vector
	int4range int8range numrange tsrange tstzrange daterange int4multirange int8multirange
	nummultirange tsmultirange tstzmultirange datemultirange interval`)

var stableFunctions = words(
	// aggregates
	`count count_big sum total avg min max group_concat string_agg listagg stddev stddev_pop
	stddev_samp std stdev stdevp var varp variance var_pop var_samp bit_and bit_or bit_xor bool_and
	bool_or every any_value corr covar_pop covar_samp regr_avgx regr_avgy regr_count regr_intercept
	regr_r2 regr_slope regr_sxx regr_sxy regr_syy mode median percentile percentile_cont
	percentile_disc approx_count_distinct approx_percentile_cont approx_percentile_disc
	checksum_agg grouping grouping_id xmlagg range_agg range_intersect_agg json_agg jsonb_agg
	bit_count`,
	// windows
	`row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value`,
	// choice and comparison
	`coalesce nullif ifnull isnull nvl nvl2 iif if decode choose greatest least interval num_nonnulls
	num_nulls likely unlikely likelihood row`,
	// text
	`length len char_length character_length octet_length bit_length datalength lower upper lcase
	ucase initcap trim ltrim rtrim btrim lpad rpad left right substr substring substring_index mid
	replace translate reverse repeat replicate space concat concat_ws instr position locate
	charindex patindex strpos split_part overlay insert stuff ascii unicode char nchar chr ord quote
	quote_ident quote_literal quote_nullable quotename format printf field elt find_in_set make_set
	export_set soundex difference dmetaphone dmetaphone_alt metaphone daitch_mokotoff levenshtein
	levenshtein_less_equal hex unhex to_hex to_bin to_oct ascii_to normalize is_normalized
	starts_with ends_with string_to_array string_to_table string_split string_escape parse_ident
	unistr unaccent similarity word_similarity strict_word_similarity show_trgm parsename
	strcmp glob like weight_string convert_from convert_to to_base64 from_base64 encode
	sformat natural_sort_key collation_for regexp regexpi octet_concat`,
	// numbers
	`abs ceil ceiling floor round trunc truncate sign mod div power pow sqrt cbrt exp ln log log10
	log2 pi degrees radians sin cos tan cot asin acos atan atan2 atn2 sinh cosh tanh asinh acosh
	atanh sind cosd tand cotd asind acosd atand atan2d square gcd lcm factorial width_bucket scale
	min_scale trim_scale conv bin oct crc32 crc32c crc64 bit_get get_bit set_bit get_byte set_byte
	left_shift right_shift bitand erf erfc gamma lgamma`,
	// dates
	`date_add date_sub adddate subdate addtime subtime datediff datediff_big dateadd datename
	datepart date_bucket datetrunc date_trunc date_part date_bin date_format date_diff time_format
	timestampadd timestampdiff timestamp_add timestamp_sub time_to_sec sec_to_time maketime makedate
	make_date make_time make_timestamp make_timestamptz make_interval justify_days justify_hours
	justify_interval isfinite extract day month year hour minute second microsecond quarter week
	weekday weekofyear yearweek dayname monthname dayofmonth dayofweek dayofyear day_name last_day
	eomonth datefromparts timefromparts datetimefromparts datetime2fromparts
	datetimeoffsetfromparts smalldatetimefromparts isdate str_to_date from_days from_unixtime
	to_days to_seconds period_add period_diff convert_tz switchoffset todatetimeoffset to_char
	to_date to_timestamp to_number timezone time_bucket time_bucket_gapfill date_add_months
	add_months months_between next_day overlaps get_format current_timezone_id`,
	// conversion and types
	`cast try_cast convert try_convert parse try_parse typeof pg_typeof format_type isnumeric
	to_json to_jsonb row_to_json array_to_json to_ascii str pg_input_is_valid pg_size_pretty
	pg_size_bytes pg_client_encoding pg_char_to_encoding pg_encoding_to_char pg_column_size
	pg_column_compression char_to_label label_to_char charset collation coercibility
	sql_variant_property bin_to_uuid uuid_to_bin is_uuid uuid_blob uuid_str uuid_extract_timestamp
	uuid_extract_version uuid_nil uuid_ns_dns uuid_ns_url uuid_ns_oid uuid_ns_x500
	uuid_generate_v3 uuid_generate_v5`,
	// JSON and XML
	`json json_array json_object jsonb isjson openjson json_table member xmlelement xmlforest
	xmlconcat xmlcomment xmlpi xmlroot xmlparse xmlserialize xmlexists xpath xpath_exists xmltable
	xml_is_well_formed xml_is_well_formed_document xml_is_well_formed_content extractvalue updatexml
	hstore akeys avals skeys svals each hstore_to_json hstore_to_jsonb hstore_to_array slice`,
	// arrays and ranges
	`array cardinality unnest generate_series generate_subscripts array_agg lower_inc upper_inc
	lower_inf upper_inf isempty range_merge multirange trim_array sort uniq idx subarray icount intset`,
	// text search
	`to_tsvector to_tsquery plainto_tsquery phraseto_tsquery websearch_to_tsquery array_to_tsvector
	setweight strip numnode querytree tsvector_to_array ts_delete ts_filter ts_headline ts_rank
	ts_rank_cd tsquery_phrase get_current_ts_config match against bm25 highlight snippet
	matchinfo offsets freetext contains rank_bm25`,
	// hashes and coding
	`md5 sha sha1 sha2 sha224 sha256 sha384 sha512 digest hmac crypt hashbytes checksum
	binary_checksum hashtext hashtextextended aes_encrypt aes_decrypt compress uncompress
	decompress uncompressed_length password base64 hash_array jsonb_hash`,
	// networks
	`inet_aton inet_ntoa inet6_aton inet6_ntoa is_ipv4 is_ipv6 is_ipv4_compat is_ipv4_mapped host
	hostmask netmask network masklen set_masklen abbrev broadcast family inet_merge
	inet_same_family macaddr8_set7bit`,
	// shapes
	`area center diagonal diameter height width radius npoints pclose popen isclosed isopen slope
	bound_box geomfromtext astext aswkt asbinary aswkb geometryfromtext mbrcontains mbrcoveredby mbrcovers
	mbrdisjoint mbrequals mbrintersects mbroverlaps mbrtouches mbrwithin distance cube cube_distance
	earth_distance ll_to_earth earth_box latitude longitude cosine_distance l2_distance l1_distance
	inner_product vector_dims vector_norm l2_normalize subvector`,
	// labels of trees
	`subltree subpath nlevel lca text2ltree ltree2text ltree`,
	// about the server
	`version sqlite_version sqlite_source_id sqlite_compileoption_used sqlite_compileoption_get
	values default name_const`,
)

// tableFunctions give rows made of their arguments: in a table position they
// are no tables.
var tableFunctions = words(`generate_series generate_subscripts unnest json_each json_tree json_table
	jsonb_each jsonb_each_text jsonb_array_elements jsonb_array_elements_text jsonb_object_keys
	jsonb_to_record jsonb_to_recordset jsonb_populate_record jsonb_populate_recordset
	jsonb_path_query json_each_text json_array_elements json_array_elements_text json_object_keys
	json_to_record json_to_recordset json_populate_record json_populate_recordset openjson
	string_split string_to_table regexp_split_to_table regexp_matches xmltable each skeys svals
	st_dump st_dumppoints`)
