package own

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/hotness"
	"github.com/gorm-preload/preload/internal/template"
)

// CheckKey returns an error if a key cannot be one of own data.
func CheckKey(key string) error {
	if strings.HasPrefix(key, template.KeyPrefix) {
		return fmt.Errorf("preload: a key of own data begins with %q, as those of queries do: want another beginning", template.KeyPrefix)
	}
	return nil
}

const (
	// maxKey is how long a key may be that is kept as it is.
	maxKey = 1 << 10
	// keptOfKey is how much is kept of the beginning of a longer one, so that it is told what it is
	// of.
	keptOfKey = 256
)

// ShortKey returns what stands for a key wherever one is kept: the key itself or, where that is
// long, its beginning and its SHA-256. What stands for a key stands for itself, too.
func ShortKey(key string) string {
	if len(key) <= maxKey {
		return key
	}
	sum := sha256.Sum256(unsafe.Slice(unsafe.StringData(key), len(key)))
	return strings.ToValidUTF8(key[:keptOfKey], "") + "...sha256:" + hex.EncodeToString(sum[:])
}

// Newest returns copies of the keys of a list that are kept as related to a key, in their order,
// with the newest at the end.
func Newest(key string, related []string) []string {
	var newest []string
	for _, one := range slices.Backward(related) {
		if one = ShortKey(one); one != key && !slices.Contains(newest, one) {
			newest = append(newest, strings.Clone(one))
		}
		if len(newest) == hotness.MaxRelated {
			break
		}
	}
	slices.Reverse(newest)
	return newest
}

// keyIn returns the key of own data in the partition of a context; false where that cannot be told.
// A partition that has a name gives it a beginning that no key of a query has, and none that users
// can give.
func (d *Data) keyIn(ctx context.Context, key string) (_ string, ok bool) {
	partition, ok := "", true
	if d.Partition != nil {
		ok = failopen.Guard(d.Report, "asking for the partition", func() { partition = d.Partition(ctx) })
	}
	if partition == "" {
		return ShortKey(key), ok
	}
	return ShortKey(template.NotOfTemplate + strconv.Itoa(len(partition)) + ":" + partition + ":" + key), ok
}

// partitioned reports whether a key is of a partition that has a name.
func partitioned(key string) bool { return strings.HasPrefix(key, template.NotOfTemplate) }

// made counts the Data of the process, whose plugins may share a Store.
var made atomic.Int64

// newPrefix returns what the keys of own data begin with in the store: another one each time.
func newPrefix() string { return "own:" + strconv.FormatInt(made.Add(1), 36) + ":" }

// Prefix returns what the keys of own data begin with in the store. It is another one in each
// plugin of the process.
func (d *Data) Prefix() string { return d.prefix }

// StoreKey returns where the answer of a key, of a query or of own data, is in the store. It is not
// for keys of a partition that has a name, of which none is loaded in the background.
func (d *Data) StoreKey(key string) string { return template.StoreKey(d.prefix, key) }

// PublicKey returns what users know an entry by, of a query or of own data.
func (d *Data) PublicKey(e *cache.Entry) string { return template.PublicKey(d.prefix, e.Key) }
