package catalog

import (
	"database/sql"
	"database/sql/driver"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorm-preload/preload/internal/args"
	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

// Class is how the database compares the values of a column, as far as it is known.
type Class uint8

const (
	Opaque   Class = iota // not known
	nullness              // not known, but NULL equals no value
	Integer               // as integers, booleans among them
	Textual               // as text whose differences beyond case and blanks count
	Bytewise              // byte by byte
	Collated              // as text by a collation of which is known what texts of printable ASCII it takes for equal
)

// Column is what is known of a column of a table in use.
type Column struct {
	Name  string // folded
	Exact string // as the model has it
	Class Class
	// min and max bound the integers that the column keeps as they are.
	min, max int64
	// longest bounds the texts and bytes that it keeps as they are, in bytes; 0 if there is no such
	// bound.
	longest int
	// ascii says that other texts than those of ASCII may be kept as others, as where the server is
	// not strict and the column has a character set without them.
	ascii bool
	// folds says that a collation which the model does not tell decides what texts are equal.
	folds bool
	// untyped says that the model leaves the type of a text open, and PostgreSQL may read it as
	// another thing.
	untyped bool
	// nullable says that NULL is kept as it is.
	nullable bool
	// generated says that 0 and NULL stand for a value that the database makes.
	generated bool
	// derived says that the database may change the column whenever the row is changed.
	derived bool
}

// newColumn reads off a field how the database of a dialect compares its column.
func newColumn(dialect string, f *schema.Field) Column {
	c := Column{
		Name: sqltext.Fold(f.DBName), Exact: f.DBName,
		nullable:  dialect != "mysql", // which makes 0 or the current time of it, depending on its mode
		generated: f.PrimaryKey || f.AutoIncrement,
	}
	declared := declaredType(f)
	c.derived = computed(dialect, f, declared)
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
		c.Class, c.min, c.max = Integer, math.MinInt64>>(64-bits), math.MaxInt64>>(64-bits)
		if kind == schema.Uint || strings.Contains(rest, "unsigned") || strings.Contains(rest, "zerofill") || dialect == "mysql" && name == "serial" {
			// Signed or not depends on the dialect; both keep these.
			c.min = 0
		}
	case schema.Bool:
		if name == "" || name == "bool" || name == "boolean" || name == "tinyint" {
			c.Class, c.min, c.max = Integer, 0, 1
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
			// Its usual collations take many different texts for equal. Which one the column has,
			// the database can be asked.
			c.folds = true
		case collated && !binaryCollation(rest):
		default:
			c.Class = Textual
			c.untyped = dialect == "postgres" && (name == "" || name == "string")
		}
		if dialect == "mysql" {
			c.longest, c.ascii = declaredLength(name, rest), true
		}
	case schema.Bytes:
		if dialect == "mysql" {
			c.longest = declaredLength(name, rest)
			if size, ok := f.TagSettings["SIZE"]; ok && (name == "" || name == "bytes") {
				c.longest, _ = strconv.Atoi(size) // GORM makes a varbinary of it
			}
		}
		if name == "" || name == "bytes" || name == "blob" || name == "bytea" || name == "varbinary" {
			c.Class = Bytewise
		}
	case schema.Time, schema.Float:
		c.Class = nullness
	}
	return c
}

// declaredType returns the type of a column as the model says it, in lower case; "" if the model
// leaves it to GORM.
func declaredType(f *schema.Field) string {
	declared := f.TagSettings["TYPE"]
	if declared == "" {
		if typed, ok := reflect.New(f.IndirectFieldType).Interface().(schema.GormDataTypeInterface); ok {
			declared = typed.GormDataType()
		}
	}
	return strings.ToLower(declared)
}

// computed reports whether the database may compute a column: anew whenever its row is changed.
func computed(dialect string, f *schema.Field, declared string) bool {
	value := strings.ToLower(f.TagSettings["DEFAULT"])
	switch {
	case !f.Creatable && !f.Updatable:
		return true
	case strings.Contains(declared, "generated"), strings.Contains(strings.ReplaceAll(declared, "(", " ("), " as "),
		strings.Contains(declared, "on update"), strings.Contains(value, "on update"),
		strings.Contains(declared, "rowversion"), dialect == "sqlserver" && declared == "timestamp":
		return true
	case strings.ReplaceAll(value, " ", "") == "(-)":
		// The database gives it a value in a way that is not told: it may be a generated column.
		// One that counts up is none.
		return !f.AutoIncrement
	case dialect != "mysql":
		return false
	}
	// The first TIMESTAMP of a table may be ON UPDATE CURRENT_TIMESTAMP without saying so, and an
	// application may have made it one, whatever the field's type is. A DATETIME that marks deleted
	// rows would delete each row that is updated.
	switch {
	case strings.HasPrefix(declared, "timestamp"):
		return true
	case f.IndirectFieldType == deletedAtType:
		return false
	case strings.HasPrefix(declared, "datetime"), declared == string(schema.Time):
		return true
	case declared != "", f.Serializer != nil:
		return dataType(f) == schema.Time
	}
	return holdsTime(f.IndirectFieldType, 3)
}

// holdsTime reports whether a type is a time, or a struct around one, to this depth.
func holdsTime(t reflect.Type, depth int) bool {
	if t.ConvertibleTo(timeType) {
		return true
	}
	if t.Kind() == reflect.Struct && depth > 0 {
		for i := range t.NumField() {
			if holdsTime(t.Field(i).Type, depth-1) {
				return true
			}
		}
	}
	return false
}

var deletedAtType = reflect.TypeFor[gorm.DeletedAt]()

// dataType is what GORM makes of the type of a field. GORM's own answer, Field.GORMDataType,
// changes under readers: it takes over that of the key that a foreign key references when it meets
// the other model.
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
		zero, err := args.DriverValue(reflect.New(t).Interface().(driver.Valuer))
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

// integerSize returns how many bits the column of an integer has, as GORM would make it: Field.Size
// changes under readers, too.
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
	switch name {
	case "tinytext":
		return math.MaxUint8
	case "text", "blob":
		if !strings.Contains(rest, "(") {
			return math.MaxUint16
		}
	}
	if _, inside, ok := strings.Cut(rest, "("); ok {
		number, _, _ := strings.Cut(inside, ")")
		if n, err := strconv.Atoi(strings.TrimSpace(number)); err == nil {
			return n
		}
	}
	if name == "char" || name == "character" {
		return 1
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

// binaryCollation reports whether the part of a type that follows its name says that text is
// compared by its characters alone.
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

// typedByDialect reports whether a type tells GORM for each dialect what its column is, so that the
// model does not show it.
func typedByDialect(t reflect.Type) bool {
	_, ok := reflect.New(t).Interface().(interface {
		GormDBDataType(*gorm.DB, *schema.Field) string
	})
	return ok
}

// merge returns what two models agree on about a column.
func (c Column) merge(other Column) Column {
	derived := c.derived || other.derived
	switch {
	case c.Class != other.Class || c.Exact != other.Exact:
		c = c.blurred()
	default:
		c.min, c.max = max(c.min, other.min), min(c.max, other.max)
		if other.longest > 0 && (c.longest == 0 || other.longest < c.longest) {
			c.longest = other.longest
		}
		c.ascii = c.ascii || other.ascii
		c.folds, c.untyped = c.folds && other.folds, c.untyped && other.untyped
		c.nullable, c.generated = c.nullable && other.nullable, c.generated || other.generated
	}
	c.derived = derived
	return c
}

// Distinct reports whether it can be told of two values of the column that they differ.
func (c *Column) Distinct() bool { return c.Class > nullness }

// Folds reports whether texts that the database takes for equal in the column may differ.
func (c *Column) Folds() bool { return c.Class == Textual || c.Class == Collated }

// blurred returns the column without what is known of its values.
func (c Column) blurred() Column { return Column{Name: c.Name, derived: c.derived} }

// AsRead returns the column for values that were read from it, and not written: 0 is 0 then, and
// NULL is NULL.
func (c Column) AsRead() Column {
	c.generated, c.nullable = false, true
	return c
}
