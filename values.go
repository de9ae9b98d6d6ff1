package preload

import (
	"bytes"
	"database/sql"
	"database/sql/driver"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
)

// columnClass is how the database compares the values of a column, as far as it is known.
type columnClass uint8

const (
	opaque   columnClass = iota // not known
	nullness                    // not known, but NULL equals no value
	integer                     // as integers, booleans among them
	textual                     // as text whose differences beyond case and blanks count
	bytewise                    // byte by byte
)

// column is what is known of a column of a table in use.
type column struct {
	name  string // folded
	exact string // as the model has it
	class columnClass
	// min and max bound the integers that the column keeps as they are.
	min, max int64
	// longest bounds the texts that it keeps as they are, in bytes; 0 if there is no such bound.
	longest int
	// nullable says that NULL is kept as it is.
	nullable bool
	// generated says that 0 and NULL stand for a value that the database makes.
	generated bool
	// derived says that the database may change the column whenever the row is changed.
	derived bool
}

// newColumn reads off a field how the database of a dialect compares its column.
func newColumn(dialect string, f *schema.Field) column {
	c := column{
		name: sqltext.Fold(f.DBName), exact: f.DBName,
		nullable:  dialect != "mysql", // which makes 0 or the current time of it, depending on its mode
		generated: f.PrimaryKey || f.AutoIncrement,
	}
	declared := strings.ToLower(f.TagSettings["TYPE"])
	c.derived = !f.Creatable && !f.Updatable ||
		strings.Contains(declared, "generated") || strings.Contains(strings.ReplaceAll(declared, "(", " ("), " as ") ||
		strings.Contains(declared, "on update") || strings.Contains(strings.ToLower(f.TagSettings["DEFAULT"]), "on update") ||
		// ON UPDATE CURRENT_TIMESTAMP, which the first TIMESTAMP of a table may have without saying so.
		dialect == "mysql" && dataType(f) == schema.Time
	if dialect != "sqlite" && dialect != "postgres" && dialect != "mysql" || typedByDialect(f.IndirectFieldType) {
		return c
	}
	name, rest := declared, ""
	if i := strings.IndexAny(declared, " ("); i >= 0 {
		name, rest = declared[:i], declared[i:]
	}
	if f.Serializer != nil {
		return c
	}
	switch kind := dataType(f); kind {
	case schema.Int, schema.Uint:
		bits, ok := integerSize(f), name == "" || name == string(kind)
		if !ok {
			bits, ok = integerBits[name]
		}
		if !ok || bits < 8 || bits > 64 {
			return c
		}
		c.class, c.min, c.max = integer, math.MinInt64>>(64-bits), math.MaxInt64>>(64-bits)
		if kind == schema.Uint || strings.Contains(rest, "unsigned") {
			// Signed or not depends on the dialect; both keep these.
			c.min = 0
		}
	case schema.Bool:
		if name == "" || name == "bool" || name == "boolean" || name == "tinyint" {
			c.class, c.min, c.max = integer, 0, 1
		}
	case schema.String:
		collated := strings.Contains(rest, "collate") || strings.Contains(rest, "charset") || strings.Contains(rest, "character set")
		if name != "" && !slices.Contains(textTypes, name) {
			return c
		}
		if name == "character" || name == "national" {
			rest = strings.TrimPrefix(strings.TrimSpace(rest), "varying")
		}
		switch {
		case dialect == "mysql" && !binaryCollation(rest):
			// Its usual collations take many different texts for equal.
		case collated && !binaryCollation(rest):
		default:
			c.class = textual
		}
		if dialect == "mysql" {
			c.longest = declaredLength(name, rest)
		}
	case schema.Bytes:
		if name == "" || name == "bytes" || name == "blob" || name == "bytea" || name == "varbinary" {
			c.class = bytewise
		}
	case schema.Time, schema.Float:
		c.class = nullness
	}
	return c
}

// dataType is what GORM makes of the type of a field. GORM's own answer, Field.GORMDataType, changes under readers: it takes over that
// of the key that a foreign key references when it meets the other model.
func dataType(f *schema.Field) schema.DataType {
	t := f.IndirectFieldType
	if t.ConvertibleTo(timeType) {
		return schema.Time
	}
	switch reflect.New(t).Interface().(type) {
	case *sql.NullString:
		return schema.String
	case *sql.NullBool:
		return schema.Bool
	case *sql.NullInt16, *sql.NullInt32, *sql.NullInt64:
		return schema.Int
	case *sql.NullFloat64:
		return schema.Float
	case *sql.NullTime, *gorm.DeletedAt:
		return schema.Time
	case driver.Valuer:
		zero, err := driverValue(reflect.New(t).Interface().(driver.Valuer))
		if err != nil || zero == nil {
			return ""
		}
		if t = reflect.TypeOf(zero); t == timeType {
			return schema.Time
		}
	}
	switch t.Kind() {
	case reflect.Bool:
		return schema.Bool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return schema.Int
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return schema.Uint
	case reflect.Float32, reflect.Float64:
		return schema.Float
	case reflect.String:
		return schema.String
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return schema.Bytes
		}
	}
	return ""
}

var timeType = reflect.TypeFor[time.Time]()

// integerSize returns how many bits the column of an integer has, as GORM would make it: Field.Size changes under readers, too.
func integerSize(f *schema.Field) int {
	if size, ok := f.TagSettings["SIZE"]; ok {
		bits, err := strconv.Atoi(size)
		if err != nil {
			return 0
		}
		return bits
	}
	switch t := f.IndirectFieldType; t.Kind() {
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return t.Bits()
	case reflect.Struct:
		switch reflect.New(t).Interface().(type) {
		case *sql.NullInt16:
			return 16
		case *sql.NullInt32:
			return 32
		}
	}
	return 64
}

// declaredLength returns the number behind the name of a text type; 0 for one without bound.
func declaredLength(name, rest string) int {
	if name == "tinytext" {
		return math.MaxUint8
	}
	if _, inside, ok := strings.Cut(rest, "("); ok {
		number, _, _ := strings.Cut(inside, ")")
		if n, err := strconv.Atoi(strings.TrimSpace(number)); err == nil {
			return n
		}
	}
	return 0
}

// integerBits are the sizes of the types that a model may declare for integers.
var integerBits = map[string]int{
	"tinyint": 8, "smallint": 16, "int2": 16, "smallserial": 16, "mediumint": 24,
	"int": 32, "integer": 32, "int4": 32, "serial": 32, "bigint": 64, "int8": 64, "bigserial": 64,
}

// textTypes are the types that a model may declare for texts which are compared as texts.
var textTypes = []string{
	"string", "text", "varchar", "char", "character", "nvarchar", "tinytext", "mediumtext", "longtext", "uuid",
}

// binaryCollation reports whether the part of a type that follows its name says that text is compared by its characters alone.
func binaryCollation(rest string) bool {
	_, collation, ok := strings.Cut(rest, "collate")
	if !ok {
		return false
	}
	fields := strings.Fields(collation)
	if len(fields) == 0 {
		return false
	}
	switch name := strings.Trim(fields[0], "\"`'"); name {
	case "binary", "c", "posix":
		return true
	default:
		return strings.HasSuffix(name, "_bin")
	}
}

// typedByDialect reports whether a type tells GORM for each dialect what its column is, so that the model does not show it.
func typedByDialect(t reflect.Type) bool {
	_, ok := reflect.New(t).Interface().(interface {
		GormDBDataType(*gorm.DB, *schema.Field) string
	})
	return ok
}

// merge returns what two models agree on about a column.
func (c column) merge(other column) column {
	derived := c.derived || other.derived
	switch {
	case c.class != other.class || c.exact != other.exact:
		c = c.blurred()
	default:
		c.min, c.max = max(c.min, other.min), min(c.max, other.max)
		if other.longest > 0 && (c.longest == 0 || other.longest < c.longest) {
			c.longest = other.longest
		}
		c.nullable, c.generated = c.nullable && other.nullable, c.generated || other.generated
	}
	c.derived = derived
	return c
}

// blurred returns the column without what is known of its values.
func (c column) blurred() column { return column{name: c.name, derived: c.derived} }

// value returns what stands for a bind value, or for a value that a column is given; "" where it cannot be told which others the
// database takes for equal.
func (c *column) value(v any) coherence.Value {
	if c.class == opaque {
		return ""
	}
	switch v.(type) {
	case gorm.Valuer, clause.Expression:
		return "" // what it is rendered as
	}
	if valuer, ok := v.(driver.Valuer); ok {
		first, err := driverValue(valuer)
		if err != nil {
			return ""
		}
		// What says another thing each time says it to the driver, too.
		again, err := driverValue(valuer)
		if err != nil || !sameDriverValue(first, again) {
			return ""
		}
		v = first
	}
	switch v := v.(type) {
	case nil:
		return c.null()
	case string:
		return c.text(v)
	case []byte:
		if v == nil {
			return c.null()
		}
		return c.bytes(v)
	case time.Time:
		return c.some()
	}
	rv := reflect.ValueOf(v)
	switch rv.Kind() {
	case reflect.Pointer:
		if rv.IsNil() {
			return c.null()
		}
		return c.value(rv.Elem().Interface())
	case reflect.Bool:
		if rv.Bool() {
			return c.integer(1)
		}
		return c.integer(0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return c.integer(rv.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if rv.Uint() > math.MaxInt64 {
			return ""
		}
		return c.integer(int64(rv.Uint()))
	case reflect.Float32, reflect.Float64:
		if math.IsNaN(rv.Float()) {
			return "" // which SQLite keeps as NULL
		}
		return c.some()
	case reflect.String:
		// What has methods may tell a driver another text: pgx asks a Stringer.
		if rv.Type().NumMethod() == 0 {
			return c.text(rv.String())
		}
	}
	return ""
}

// someValue stands for any value but NULL.
const someValue coherence.Value = "some"

// some returns what stands for all values but NULL where no others are told apart.
func (c *column) some() coherence.Value {
	if c.class != nullness {
		return ""
	}
	return someValue
}

// sameDriverValue compares driver values of the types that are told apart here; others are never the same.
func sameDriverValue(a, b driver.Value) bool {
	switch a := a.(type) {
	case nil, int64, float64, bool, string:
		return a == b
	case time.Time:
		b, ok := b.(time.Time)
		return ok && a.Equal(b)
	case []byte:
		b, ok := b.([]byte)
		return ok && bytes.Equal(a, b)
	}
	return false
}

func (c *column) null() coherence.Value {
	if !c.nullable || c.generated {
		return ""
	}
	return coherence.Null
}

func (c *column) integer(v int64) coherence.Value {
	if c.class == nullness {
		return c.some()
	}
	if c.class != integer || v < c.min || v > c.max || v == 0 && c.generated {
		return ""
	}
	return coherence.Value(strconv.AppendInt(append(make([]byte, 0, 24), 'i'), v, 10))
}

func (c *column) text(s string) coherence.Value {
	switch {
	case c.class == integer:
		// '7' is 7 to every database; '07' is to some.
		if v, err := strconv.ParseInt(s, 10, 64); err == nil && strconv.FormatInt(v, 10) == s {
			return c.integer(v)
		}
	case c.class == textual && (c.longest == 0 || len(s) <= c.longest):
		return textValue(s)
	}
	return c.some()
}

func (c *column) bytes(b []byte) coherence.Value {
	switch c.class {
	case textual:
		return c.text(string(b))
	case bytewise:
		// Fixed lengths are filled up with zeros.
		return coherence.Value("b" + string(bytes.TrimRight(b, "\x00")))
	}
	return c.some()
}

const (
	// longestText is how much of a text's folded form is compared.
	longestText = 96
	// longestNumber is how long a text can be that is a number.
	longestNumber = 40
)

// textValue folds a text so that all which some database takes for equal to it fold alike: in a column that a migration
// of the application's own made citext, NOCASE, RTRIM, uuid, char or numeric, which the model need not show. Texts
// that look like dates may be equal in ways of their own: "".
func textValue(s string) coherence.Value {
	if len(s) >= len("2006-01") && s[4] == '-' && isDigits(s[:4]) && isDigits(s[5:7]) {
		return ""
	}
	folded := make([]byte, 1, min(len(s), longestText)+1)
	folded[0] = 's'
	for _, r := range s {
		switch {
		case r == '-' || r == '{' || r == '}' || unicode.IsSpace(r):
			continue
		case 'A' <= r && r <= 'Z':
			r += 'a' - 'A'
		case r > unicode.MaxASCII:
			r = unicode.ToLower(unicode.ToUpper(r))
		}
		folded = utf8.AppendRune(folded, r)
		if len(folded) > longestText {
			return coherence.Value(folded)
		}
	}
	if c := folded[len(folded)-1]; len(folded) <= longestNumber && ('0' <= c && c <= '9' || c == '.') {
		if n, err := strconv.ParseFloat(string(folded[1:]), 64); err == nil {
			return coherence.Value(strconv.AppendFloat(append(folded[:0], "s#"...), n, 'g', -1, 64))
		}
	}
	return coherence.Value(folded)
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
