package preload

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/failopen"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

// models are those that were met, with their policies.
type models struct {
	config  *config
	catalog *catalog.Catalog
	db      *gorm.DB // of Initialize
	byType  sync.Map // reflect.Type -> *model
	recent  recentModels
}

// model is what the plugin knows of one model type.
type model struct {
	policy *Policy // nil where nothing opted it in
	err    error   // what is wrong with its tag
}

// recentModels has the models of the schemas that were asked for last, as most statements are of
// few models.
type recentModels [64]atomic.Pointer[modelOf]

type modelOf struct {
	schema *schema.Schema
	model  *model
}

func (r *recentModels) at(s *schema.Schema) *atomic.Pointer[modelOf] {
	return &r[uint64(uintptr(unsafe.Pointer(s)))*0x9e3779b97f4a7c15>>58]
}

// of returns what is known of the model of a schema; the first call for it learns its table and
// relations.
func (ms *models) of(s *schema.Schema) *model {
	if recent := ms.recent.at(s).Load(); recent != nil && recent.schema == s {
		return recent.model
	}
	m, ok := ms.byType.Load(s.ModelType)
	if !ok {
		ms.catalog.Learn(s)
		learned := &model{}
		learned.policy, learned.err = ms.policy(s)
		m, _ = ms.byType.LoadOrStore(s.ModelType, learned)
	}
	ms.recent.at(s).Store(&modelOf{s, m.(*model)})
	return m.(*model)
}

// declared returns the policy that an option or a tag gives to a model, nil where none does.
func (ms *models) declared(s *schema.Schema) (*Policy, error) {
	for _, given := range ms.config.policies {
		if catalog.StructType(reflect.TypeOf(given.model)) == s.ModelType {
			return &given.policy, nil
		}
	}
	tagged, err := tagPolicy(s.ModelType)
	if err != nil {
		return nil, fmt.Errorf("preload: model %s: %w", s.ModelType, err)
	}
	if tagged == nil {
		tagged = ms.config.defaultPolicy
	}
	return tagged, nil
}

// settle waits until a schema is parsed whole.
func (ms *models) settle(s *schema.Schema) {
	// GORM's Parse waits for whoever is at it.
	_, _ = ms.parse(reflect.New(s.ModelType).Interface())
}

// depends returns the tables that a model's policy names.
func (ms *models) depends(s *schema.Schema) []string {
	if policy, err := ms.declared(s); err == nil && policy != nil {
		return policy.Depends
	}
	return nil
}

// parse parses a model: a struct, or what leads to one. The error does not show what the value
// holds.
func (ms *models) parse(value any) (s *schema.Schema, err error) {
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

func (ms *models) policy(s *schema.Schema) (*Policy, error) {
	declared, err := ms.declared(s)
	if err != nil {
		return nil, err
	}
	if declared != nil {
		return inForce(*declared, ms.config), nil
	}
	if owner := ms.catalog.Owner(s.ModelType); owner != nil {
		// A join table that GORM made up has nothing to tag: it goes with the model that declared
		// it.
		return ms.policy(owner)
	}
	return nil, nil
}

// inForce returns a policy with the defaults of the options; nil where it keeps nothing.
func inForce(policy Policy, c *config) *Policy {
	if policy.Off {
		return nil
	}
	policy = policy.or(c)
	return &policy
}
