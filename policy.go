package preload

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/gorm-preload/preload/internal/template"
)

// tagName is the key of the struct tag that opts a model in.
const tagName = "preload"

// Policy is how the answers of one model are treated. The zero value takes the plugin's own
// settings.
type Policy struct {
	// TTL is how long an answer is kept; 0 stands for WithTTL.
	TTL time.Duration
	// Negative is how long an answer without rows is kept; 0 stands for WithNegativeTTL, a negative
	// value does not keep it.
	Negative time.Duration
	// MaxRows is the largest answer that is kept; 0 stands for WithMaxRows.
	MaxRows int
	// Depends names further tables whose writes change the model's answers: what a view reads, what
	// triggers write from.
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

// tagPolicy returns the policy in the tag of a struct type, nil where there is none. A tag of the
// struct itself takes precedence over one that an embedded struct brings.
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

// limits are what templates need to know of a policy.
func (p *Policy) limits() template.Limits {
	return template.Limits{TTL: p.TTL, Negative: p.Negative, MaxRows: p.MaxRows}
}
