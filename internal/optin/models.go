package optin

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

// Config is what decides which models are opted in besides their tags.
type Config struct {
	// Given are the policies of models that options name; they take precedence over tags.
	Given []Given
	// Default is the policy of all other models that have no tag; nil if there is none.
	Default *Policy
	// Settings hold where a policy does not say otherwise.
	Settings template.Limits
}

// Given is the policy that an option gives to a model.
type Given struct {
	Model  any
	Policy Policy
}

// Models are those that were met, with their policies.
type Models struct {
	Config
	catalog *catalog.Catalog
	db      *gorm.DB
	byType  sync.Map // reflect.Type -> *Model
	tables  sync.Map // name, as changes have it -> *tableRule
	recent  recentModels
}

// New returns models of which none was met.
func New(c Config) *Models { return &Models{Config: c} }

// Teach sets the catalog that learns of the models which are met: once, and before any is.
func (ms *Models) Teach(c *catalog.Catalog) { ms.catalog = c }

// Serve sets the handle whose models are met: once, and before any is.
func (ms *Models) Serve(db *gorm.DB) { ms.db = db }

// Model is what is known of one model type.
type Model struct {
	Policy *Policy // nil where nothing opted it in
	Off    bool    // it is opted out
	Err    error   // what is wrong with its tag
}

// recentModels has the models of the schemas that were asked for last, as most statements are of
// few models.
type recentModels [64]atomic.Pointer[modelOf]

type modelOf struct {
	schema *schema.Schema
	model  *Model
}

func (r *recentModels) at(s *schema.Schema) *atomic.Pointer[modelOf] {
	return &r[uint64(uintptr(unsafe.Pointer(s)))*0x9e3779b97f4a7c15>>58]
}

// Of returns what is known of the model of a schema; the first call for it learns its table and
// relations.
func (ms *Models) Of(s *schema.Schema) *Model {
	if recent := ms.recent.at(s).Load(); recent != nil && recent.schema == s {
		return recent.model
	}
	m, ok := ms.byType.Load(s.ModelType)
	if !ok {
		ms.catalog.Learn(s)
		learned := &Model{}
		learned.Policy, learned.Off, learned.Err = ms.policy(s)
		m, _ = ms.byType.LoadOrStore(s.ModelType, learned)
	}
	ms.recent.at(s).Store(&modelOf{s, m.(*Model)})
	return m.(*Model)
}

// declared returns the policy that an option or a tag gives to a model, nil where none does.
func (ms *Models) declared(s *schema.Schema) (*Policy, error) {
	for _, given := range ms.Given {
		if catalog.StructType(reflect.TypeOf(given.Model)) == s.ModelType {
			return &given.Policy, nil
		}
	}
	tagged, err := ofTag(s.ModelType)
	if err != nil {
		return nil, fmt.Errorf("preload: model %s: %w", s.ModelType, err)
	}
	if tagged == nil {
		tagged = ms.Default
	}
	return tagged, nil
}

// Settle waits until a schema is parsed whole.
func (ms *Models) Settle(s *schema.Schema) {
	// GORM's Parse waits for whoever is at it.
	_, _ = ms.Parse(reflect.New(s.ModelType).Interface())
}

// Depends returns the tables that a model's policy names.
func (ms *Models) Depends(s *schema.Schema) []string {
	if policy, err := ms.declared(s); err == nil && policy != nil {
		return policy.Depends
	}
	return nil
}

// Parse parses a model: a struct, or what leads to one. The error does not show what the value
// holds.
func (ms *Models) Parse(value any) (s *schema.Schema, err error) {
	t := modelType(value)
	if t == nil {
		return nil, errors.New("it is no model: want a struct or a pointer to one, such as &User{}")
	}
	defer func() {
		if fault := recover(); fault != nil {
			s, err = nil, fmt.Errorf("GORM cannot parse it: a panic: %s", failopen.PlainFault(fault))
		}
	}()
	stmt := &gorm.Statement{DB: ms.db}
	if err := stmt.Parse(reflect.New(t).Interface()); err != nil {
		return nil, err
	}
	if stmt.Schema.Table == "" {
		return nil, errors.New("it has no table: want a struct type with a name, or a method TableName")
	}
	return stmt.Schema, nil
}

// modelType returns the type of the struct that a value is or leads to, also through interfaces;
// nil if there is none.
func modelType(value any) reflect.Type {
	const deep = 16 // an interface may lead to itself
	v := reflect.ValueOf(value)
	for range deep {
		if !v.IsValid() {
			return nil
		}
		if t := catalog.StructType(v.Type()); t.Kind() == reflect.Struct {
			return t
		}
		switch v.Kind() {
		case reflect.Pointer, reflect.Interface:
			v = v.Elem()
		default:
			return nil
		}
	}
	return nil
}

// policy returns the policy of a model, nil where it has none, and whether it is opted out.
func (ms *Models) policy(s *schema.Schema) (p *Policy, off bool, err error) {
	declared, err := ms.declared(s)
	if err != nil {
		return nil, false, err
	}
	if declared != nil {
		return declared.inForce(ms.Settings), declared.Off, nil
	}
	if owner := ms.catalog.Owner(s.ModelType); owner != nil {
		// A join table that GORM made up has nothing to tag: it goes with the model that declared
		// it.
		return ms.policy(owner)
	}
	return nil, false, nil
}

// inForce returns a policy with what the settings have for it; nil where it keeps nothing.
func (p Policy) inForce(settings template.Limits) *Policy {
	if p.Off {
		return nil
	}
	p = p.or(settings)
	return &p
}
