package template

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/gorm-preload/preload/internal/failopen"
)

// KeyPrefix is what the keys of queries begin with. An application's own keys must not.
const KeyPrefix = "sql:"

// NotOfTemplate is what keys begin with that are none of a template and none of the application's.
const NotOfTemplate = KeyPrefix + "#"

// Label returns what a key may be called in a log or an error: of a query its table and the sum of
// its family, without the args; of own data a sum.
func Label(key string) string {
	if rest, ok := strings.CutPrefix(key, KeyPrefix); ok && !strings.HasPrefix(key, NotOfTemplate) {
		// No table's name holds a '#' followed by a sum and a ':' by accident that would matter:
		// the first one ends the family.
		if at := strings.IndexByte(rest, '#'); at >= 0 {
			if end := strings.IndexByte(rest[at:], ':'); end >= 0 {
				return key[:len(KeyPrefix)+at+end]
			}
		}
	}
	return "own:" + SumOf(key)
}

// Table returns the table of the key of a query, "" for that of own data.
func Table(key string) string {
	rest, ok := strings.CutPrefix(Label(key), KeyPrefix)
	if !ok {
		return ""
	}
	return rest[:strings.IndexByte(rest, '#')]
}

// Told returns what the log tells of a key.
func Told(key string) failopen.Told { return failopen.Told{Plain: SumOf(key), Whole: key} }

// SumOf stands for a text that is not to be seen.
func SumOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:6])
}

// StoreKey returns where the answer of a key is in the store: an application's own keys are behind
// a prefix there.
func StoreKey(ownPrefix, key string) string {
	if strings.HasPrefix(key, KeyPrefix) {
		return key
	}
	return ownPrefix + key
}

// PublicKey returns what users know the entry by that is somewhere in the store.
func PublicKey(ownPrefix, stored string) string { return strings.TrimPrefix(stored, ownPrefix) }
