package worldtest

import (
	"context"
	"database/sql"
	"sync"

	"github.com/gorm-preload/preload"
	"gorm.io/gorm"
)

// Into asks for a T: chain adds the conditions to a handle, and finish runs the query into a new
// T.
func Into[T any](chain func(*gorm.DB) *gorm.DB, finish func(*gorm.DB, any) *gorm.DB) Query {
	return func(db *gorm.DB) (any, *gorm.DB) {
		var dest T
		return &dest, finish(chain(db), &dest)
	}
}

// First asks for the first T by its primary key, with conditions as First of GORM takes them.
func First[T any](chain func(*gorm.DB) *gorm.DB, conds ...any) Query {
	return Into[T](chain, func(db *gorm.DB, dest any) *gorm.DB { return db.First(dest, conds...) })
}

// Find asks for a T with Find of GORM; T is a slice where several rows are wanted.
func Find[T any](chain func(*gorm.DB) *gorm.DB) Query {
	return Into[T](chain, func(db *gorm.DB, dest any) *gorm.DB { return db.Find(dest) })
}

// List finds rows of the model T.
func List[T any](chain func(*gorm.DB) *gorm.DB) Query {
	return Find[[]T](func(db *gorm.DB) *gorm.DB { return chain(db.Model(new(T))) })
}

// CountOf counts rows of the model T.
func CountOf[T any](chain func(*gorm.DB) *gorm.DB) Query {
	return Count(func(db *gorm.DB) *gorm.DB { return chain(db.Model(new(T))) })
}

// Take asks for any T.
func Take[T any](chain func(*gorm.DB) *gorm.DB) Query {
	return Into[T](chain, func(db *gorm.DB, dest any) *gorm.DB { return db.Take(dest) })
}

// All adds no condition to a handle.
func All(db *gorm.DB) *gorm.DB { return db }

// Count counts what chain leaves.
func Count(chain func(*gorm.DB) *gorm.DB) Query {
	return func(db *gorm.DB) (any, *gorm.DB) {
		n := int64(-1)
		tx := chain(db).Count(&n)
		return &n, tx
	}
}

// Pluck asks for one column as values of the type T.
func Pluck[T any](column string, chain func(*gorm.DB) *gorm.DB) Query {
	return func(db *gorm.DB) (any, *gorm.DB) {
		var dest []T
		return &dest, chain(db).Pluck(column, &dest)
	}
}

// ByID orders rows by their column id.
func ByID(db *gorm.DB) *gorm.DB { return db.Order("id") }

// Generic asks through the generic API of GORM, whose calls return no handle. It gets the
// context of the handle.
func Generic(do func(context.Context, *gorm.DB) (any, error)) Query {
	return func(db *gorm.DB) (any, *gorm.DB) {
		dest, err := do(db.Statement.Context, db)
		return dest, &gorm.DB{Error: err}
	}
}

// Prepared is a prepared query where the plugin is in use, and the same query written out where the
// plugin is not.
func Prepared[T any](query func(tx *gorm.DB, arg func(n int) any) *gorm.DB, args ...any) Query {
	var mu sync.Mutex
	made := map[*preload.Plugin]*preload.Prepared[T]{}
	answer := func(dest []T, err error) (any, *gorm.DB) { return dest, &gorm.DB{Error: err} }
	return func(db *gorm.DB) (any, *gorm.DB) {
		p, ok := preload.From(db)
		_, within := db.Statement.ConnPool.(gorm.TxCommitter)
		_, borrowed := db.Statement.ConnPool.(*sql.Conn) // which ends before the prepared query does
		mu.Lock()
		prepared := made[p]
		mu.Unlock()
		switch {
		case !ok, (within || borrowed) && prepared == nil:
			var dest []T
			err := query(db, func(n int) any { return args[n] }).Find(&dest).Error
			return answer(dest, err)
		case prepared == nil:
			var err error
			prepared, err = preload.Prepare[T](db, func(tx *gorm.DB) *gorm.DB { return query(tx, func(n int) any { return preload.Arg(n) }) })
			if err != nil {
				return answer(nil, err)
			}
			mu.Lock()
			if len(made) > 20 { // other tests run beside this one
				clear(made)
			}
			made[p] = prepared
			mu.Unlock()
		}
		if within {
			prepared = prepared.WithTx(db)
		}
		return answer(prepared.Find(context.Background(), args...))
	}
}
