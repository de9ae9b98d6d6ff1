package preload

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm/schema"
)

// tagName is the key of the struct tag that opts a model in.
const tagName = "preload"

// Policy is how the answers of one model are treated. The zero value takes the plugin's own settings.
type Policy struct {
	// TTL is how long an answer is kept; 0 stands for WithTTL.
	TTL time.Duration
	// Negative is how long an answer without rows is kept; 0 stands for WithNegativeTTL, a negative value does not keep it.
	Negative time.Duration
	// MaxRows is the largest answer that is kept; 0 stands for WithMaxRows.
	MaxRows int
	// Depends names further tables whose writes change the model's answers: what a view reads, what triggers write from.
	Depends []string
	// Off takes the model out, as the tag `preload:"-"` does.
	Off bool
}

func (p Policy) check(where string) (errs []error) {
	if p.TTL < 0 {
		errs = append(errs, fmt.Errorf("preload: %s: Policy.TTL %v: want a positive duration, or 0 for the plugin's", where, p.TTL))
	}
	if p.MaxRows < 0 {
		errs = append(errs, fmt.Errorf("preload: %s: Policy.MaxRows %d: want a positive number, or 0 for the plugin's", where, p.MaxRows))
	}
	for _, table := range p.Depends {
		if strings.TrimSpace(table) == "" {
			errs = append(errs, fmt.Errorf("preload: %s: Policy.Depends names an empty table", where))
		}
	}
	return errs
}

// or fills what is not set from the plugin's own settings.
func (p Policy) or(c *config) Policy {
	if p.TTL == 0 {
		p.TTL = c.ttl
	}
	if p.Negative == 0 {
		p.Negative = c.negativeTTL
	}
	if p.MaxRows == 0 {
		p.MaxRows = c.maxRows
	}
	return p
}

// model is what the plugin knows of one model type.
type model struct {
	policy *Policy // nil where nothing opted it in
	err    error   // what is wrong with its tag
}

// recentModels has the models of the schemas that were asked for last, as most statements are of few models.
type recentModels [64]atomic.Pointer[modelOf]

type modelOf struct {
	schema *schema.Schema
	model  *model
}

func (r *recentModels) at(s *schema.Schema) *atomic.Pointer[modelOf] {
	return &r[uint64(uintptr(unsafe.Pointer(s)))*0x9e3779b97f4a7c15>>58]
}

// model returns what is known of the model of a schema; the first call for it learns its table and relations.
func (p *Plugin) model(s *schema.Schema) *model {
	if recent := p.recentModels.at(s).Load(); recent != nil && recent.schema == s {
		return recent.model
	}
	m, ok := p.models.Load(s.ModelType)
	if !ok {
		p.catalog.learn(s, p.catalogued())
		learned := &model{}
		learned.policy, learned.err = p.policy(s)
		m, _ = p.models.LoadOrStore(s.ModelType, learned)
	}
	p.recentModels.at(s).Store(&modelOf{s, m.(*model)})
	return m.(*model)
}

// declared returns the policy that an option or a tag gives to a model, nil where none does.
func (p *Plugin) declared(s *schema.Schema) (*Policy, error) {
	for _, given := range p.config.policies {
		if structType(reflect.TypeOf(given.model)) == s.ModelType {
			return &given.policy, nil
		}
	}
	tagged, err := tagPolicy(s.ModelType)
	if err != nil {
		return nil, fmt.Errorf("preload: model %s: %w", s.ModelType, err)
	}
	if tagged == nil {
		tagged = p.config.defaultPolicy
	}
	return tagged, nil
}

// catalogued is what the catalog asks of the plugin.
func (p *Plugin) catalogued() models {
	return models{dialect: p.db.Name(), settle: p.settle, depends: p.depends, changed: p.changed}
}

// settle waits until a schema is parsed whole.
func (p *Plugin) settle(s *schema.Schema) {
	// GORM's Parse waits for whoever is at it.
	_, _ = p.schemaOf(reflect.New(s.ModelType).Interface())
}

// depends returns the tables that a model's policy names.
func (p *Plugin) depends(s *schema.Schema) []string {
	if policy, err := p.declared(s); err == nil && policy != nil {
		return policy.Depends
	}
	return nil
}

func (p *Plugin) policy(s *schema.Schema) (*Policy, error) {
	declared, err := p.declared(s)
	if err != nil {
		return nil, err
	}
	if declared != nil {
		return active(*declared, p.config), nil
	}
	if owner := p.catalog.owner(s.ModelType); owner != nil {
		// A join table that GORM made up has nothing to tag: it goes with the model that declared it.
		return p.policy(owner)
	}
	return nil, nil
}

func active(policy Policy, c *config) *Policy {
	if policy.Off {
		return nil
	}
	policy = policy.or(c)
	return &policy
}

func structType(t reflect.Type) reflect.Type {
	for t != nil && (t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
		t = t.Elem()
	}
	return t
}

// tagPolicy returns the policy in the tag of a struct type, nil where there is none. A tag of the struct itself
// takes precedence over one that an embedded struct brings.
func tagPolicy(t reflect.Type) (*Policy, error) {
	var found *Policy
	for i := range t.NumField() {
		tag, ok := t.Field(i).Tag.Lookup(tagName)
		if !ok {
			continue
		}
		if found != nil {
			return nil, errors.New(`two fields have a "preload" tag: keep one`)
		}
		policy, err := parseTag(tag)
		if err != nil {
			return nil, fmt.Errorf("tag `preload:%q`: %w", tag, err)
		}
		found = &policy
	}
	for i := 0; i < t.NumField() && found == nil; i++ {
		field := t.Field(i)
		embedded := field.Type
		if embedded.Kind() == reflect.Pointer {
			embedded = embedded.Elem()
		}
		if !field.Anonymous || embedded.Kind() != reflect.Struct || embedded == t {
			continue
		}
		var err error
		if found, err = tagPolicy(embedded); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func parseTag(tag string) (policy Policy, err error) {
	if strings.TrimSpace(tag) == "-" {
		return Policy{Off: true}, nil
	}
	for _, setting := range strings.Split(tag, ";") {
		if strings.TrimSpace(setting) == "" {
			continue
		}
		name, value, _ := strings.Cut(setting, ":")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		switch name {
		case "ttl":
			if policy.TTL, err = time.ParseDuration(value); err != nil || policy.TTL <= 0 {
				return policy, fmt.Errorf(`setting "ttl" has %q: want a positive duration such as 10m`, value)
			}
		case "negative":
			if policy.Negative, err = time.ParseDuration(value); err != nil || policy.Negative < 0 {
				return policy, fmt.Errorf(`setting "negative" has %q: want a duration such as 10s, or 0 to keep no empty answers`, value)
			}
			if policy.Negative == 0 {
				policy.Negative = -1
			}
		case "rows":
			if policy.MaxRows, err = strconv.Atoi(value); err != nil || policy.MaxRows <= 0 {
				return policy, fmt.Errorf(`setting "rows" has %q: want a positive number`, value)
			}
		case "depends":
			for _, table := range strings.Split(value, ",") {
				if table = strings.TrimSpace(table); table == "" {
					return policy, fmt.Errorf(`setting "depends" has %q: want table names separated by commas`, value)
				}
				policy.Depends = append(policy.Depends, table)
			}
		case "-":
			if value != "" || strings.TrimSpace(tag) != "-" {
				return policy, errors.New(`"-" opts the model out and stands alone`)
			}
		default:
			return policy, fmt.Errorf("unknown setting %q: want ttl, negative, rows, depends or -", name)
		}
	}
	return policy, nil
}

// fold is how table names are compared.
func fold(table string) string {
	if i := strings.LastIndexByte(table, '.'); i >= 0 {
		table = table[i+1:]
	}
	return sqltext.Fold(table)
}
