package optin

import (
	"cmp"
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

// Policy is how the answers of one model are treated. Where a duration or a number is 0, that of
// Config.Settings holds.
type Policy struct {
	TTL      time.Duration
	Negative time.Duration // of answers without rows; below 0 they are not kept
	MaxRows  int
	Depends  []string // further tables whose writes change the model's answers
	Off      bool     // takes the model out
}

// Check returns what is wrong with a policy that an option gives; where names the option.
func (p Policy) Check(where string) (errs []error) {
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

// or fills in what is not set.
func (p Policy) or(settings template.Limits) Policy {
	return Policy{
		TTL: cmp.Or(p.TTL, settings.TTL), Negative: cmp.Or(p.Negative, settings.Negative), MaxRows: cmp.Or(p.MaxRows, settings.MaxRows),
		Depends: p.Depends, Off: p.Off,
	}
}

// ofTag returns the policy in the tag of a struct type, nil where there is none. A tag of the
// struct itself takes precedence over one that an embedded struct brings.
func ofTag(t reflect.Type) (*Policy, error) {
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
		if found, err = ofTag(embedded); err != nil {
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

// LimitsOrNone are the Limits of a policy, nil where there is none.
func (p *Policy) LimitsOrNone() *template.Limits {
	if p == nil {
		return nil
	}
	l := p.Limits()
	return &l
}

// Limits are what templates need to know of a policy.
func (p *Policy) Limits() template.Limits {
	return template.Limits{TTL: p.TTL, Negative: p.Negative, MaxRows: p.MaxRows}
}
