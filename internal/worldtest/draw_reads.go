package worldtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"sort"
	"strings"

	"gorm.io/gorm"
)

// read draws a read without terms.
func (g *Draw) read() Named {
	s := g.table("read")
	if g.Chance("raw", 15) {
		return g.rawRead(s)
	}
	joined := s.name() == "diff_users" && s.schema.Name == "DiffUser" && g.Chance("joined", 8)
	c := g.cond(s, joined)
	scope, scoped := c.apply, ""
	if s.schema.Name == "DiffUser" && g.Chance("unscoped", 25) {
		scope, scoped = func(db *gorm.DB) *gorm.DB { return c.apply(db).Unscoped() }, ", unscoped"
	}
	q := func(form string, query Query) Named {
		return Named{Name: fmt.Sprintf("%s of %s where %s%s", form, s.schema.Name, c.text, scoped), Query: query}
	}
	if joined {
		return g.joined(s, scope, q)
	}
	find := func(dest any, tx *gorm.DB) (any, *gorm.DB) { return dest, tx.Find(dest) }
	form := g.Below("read form", 40)
	switch form {
	case 0, 1, 2, 3:
		return q("First", func(db *gorm.DB) (any, *gorm.DB) {
			dest := s.model()
			return dest, s.first(scope(db), dest)
		})
	case 4, 5:
		text, vars := g.byKeyOrUnique(s, false)
		return q(fmt.Sprintf("Take by %s %v", text, vars), func(db *gorm.DB) (any, *gorm.DB) {
			dest := s.model()
			return dest, db.Where(text, vars...).Take(dest)
		})
	case 6:
		return q("Last", func(db *gorm.DB) (any, *gorm.DB) {
			dest := s.model()
			return dest, scope(db).Last(dest)
		})
	case 7, 8, 9, 10:
		return q("Find", func(db *gorm.DB) (any, *gorm.DB) { return find(s.rows(), scope(db).Order(s.byKey())) })
	case 11:
		return q("Find without order", func(db *gorm.DB) (any, *gorm.DB) {
			dest, tx := find(s.rows(), scope(db))
			s.sort(dest)
			return dest, tx
		})
	case 12, 13, 14:
		column, limit, offset := g.column("order", s).DBName, OneOf(g, "limit", 0, 1, 2, 3, 50), 0
		if g.Chance("offset", 25) {
			offset = 1 + g.Below("offset", 2)
		}
		order := column + OneOf(g, "direction", "", " DESC", " desc", " + 0") + ", " + s.byKey()
		return q(fmt.Sprintf("Find, order %q, limit %d, offset %d", order, limit, offset), func(db *gorm.DB) (any, *gorm.DB) {
			tx := scope(db).Order(order).Limit(limit)
			if offset > 0 {
				tx = tx.Offset(offset)
			}
			return find(s.rows(), tx)
		})
	case 15, 16:
		return q("Count", func(db *gorm.DB) (any, *gorm.DB) {
			var n int64
			return &n, scope(db.Model(s.model())).Count(&n)
		})
	case 17:
		column := g.number("count", s).DBName
		return q("Count distinct "+column, func(db *gorm.DB) (any, *gorm.DB) {
			var n int64
			return &n, scope(db.Model(s.model())).Distinct(column).Count(&n)
		})
	case 18, 19:
		column := g.column("pluck", s).DBName
		return q("Pluck "+column, func(db *gorm.DB) (any, *gorm.DB) {
			var dest []*string
			return &dest, scope(db.Model(s.model())).Order(s.byKey()).Pluck(column, &dest)
		})
	case 20:
		column := g.number("distinct", s).DBName
		return q("Distinct "+column, func(db *gorm.DB) (any, *gorm.DB) {
			return find(&[]map[string]any{}, scope(db.Model(s.model())).Distinct(column).Order(column))
		})
	case 21, 22:
		columns := []string{g.column("select", s).DBName, g.column("select", s).DBName}
		if g.Chance("omit", 25) {
			return q(fmt.Sprint("Omit ", columns), func(db *gorm.DB) (any, *gorm.DB) { return find(s.rows(), scope(db).Omit(columns...).Order(s.byKey())) })
		}
		return q(fmt.Sprint("Select ", columns), func(db *gorm.DB) (any, *gorm.DB) { return find(s.rows(), scope(db).Select(columns).Order(s.byKey())) })
	case 23:
		return q("smaller struct", func(db *gorm.DB) (any, *gorm.DB) { return find(s.brief(), scope(db.Model(s.model())).Order(s.byKey())) })
	case 24:
		return q("smaller struct by Scan", func(db *gorm.DB) (any, *gorm.DB) {
			dest := s.brief()
			return dest, scope(db.Model(s.model())).Order(s.byKey()).Scan(dest)
		})
	case 25:
		return q("maps", func(db *gorm.DB) (any, *gorm.DB) {
			return find(&[]map[string]any{}, scope(db.Model(s.model())).Order(s.byKey()))
		})
	case 26:
		group, sum, least := g.number("group", s).DBName, g.number("sum", s).DBName, g.Below("having", 2)
		return q(fmt.Sprintf("sum of %s by %s having %d", sum, group, least), func(db *gorm.DB) (any, *gorm.DB) {
			return find(&[]map[string]any{}, scope(db.Model(s.model())).Select(group, "SUM("+sum+") AS total", "COUNT(*) AS n").
				Group(group).Having("COUNT(*) > ?", least).Order(group))
		})
	case 27:
		of := g.number("maximum", s).DBName
		return q("maximum of "+of, func(db *gorm.DB) (any, *gorm.DB) {
			var dest []*int64
			return &dest, scope(db.Model(s.model())).Pluck("MAX("+of+")", &dest)
		})
	case 28:
		key := g.value("preset", s.schema.PrimaryFields[0])
		return q(fmt.Sprint("First into the key ", key), func(db *gorm.DB) (any, *gorm.DB) {
			dest := s.row(map[string]any{s.keys()[0]: key})
			return dest, s.first(scope(db), dest)
		})
	case 36:
		return q("rows by Scan", func(db *gorm.DB) (any, *gorm.DB) {
			dest := s.rows()
			return dest, scope(db.Model(s.model())).Order(s.byKey()).Scan(dest)
		})
	case 37:
		sum := g.number("sum", s).DBName
		return q("statistics of "+sum+" by Scan", func(db *gorm.DB) (any, *gorm.DB) {
			var dest struct {
				N     int64
				Total *float64
			}
			return &dest, scope(db.Model(s.model())).Select("COUNT(*) AS n", "SUM("+sum+") AS total").Scan(&dest)
		})
	case 38:
		text, vars := g.byKeyOrUnique(s, false)
		return q(fmt.Sprintf("one by Scan, %s %v", text, vars), func(db *gorm.DB) (any, *gorm.DB) {
			dest := s.model()
			return dest, db.Model(s.model()).Where(text, vars...).Scan(dest)
		})
	case 39:
		column := g.column("scanned", s).DBName
		return q("Rows of "+column, func(db *gorm.DB) (any, *gorm.DB) {
			rows, err := scope(db.Model(s.model())).Order(s.byKey()).Select(column).Rows()
			if err != nil {
				return nil, &gorm.DB{Error: err}
			}
			defer rows.Close()
			all := []string{}
			for rows.Next() {
				var text sql.NullString
				err = errors.Join(err, rows.Scan(&text))
				all = append(all, fmt.Sprint(text))
			}
			return all, &gorm.DB{Error: errors.Join(err, rows.Err())}
		})
	case 34, 35:
		// What the destination holds may be, or be not, what is read into it.
		like, text := g.rowLike("filled", s, g.Chance("with its key", 50))
		take := form == 35
		return q(fmt.Sprintf("into %s, Take %v, first", text, take), func(db *gorm.DB) (any, *gorm.DB) {
			dest := like()
			if take {
				return dest, scope(db).Order(s.byKey()).Take(dest)
			}
			return dest, s.first(scope(db), dest)
		})
	case 29:
		alias := s.name() + " AS x"
		text, vars := g.byKeyOrUnique(s, false)
		return q(fmt.Sprintf("Table with an alias, %s %v", text, vars), func(db *gorm.DB) (any, *gorm.DB) {
			return find(s.rows(), db.Table(alias).Where(text, vars...).Order("x."+strings.Join(s.keys(), ", x.")))
		})
	case 30:
		size := 1 + g.Below("batch", 3)
		return q(fmt.Sprintf("FindInBatches of %d", size), func(db *gorm.DB) (any, *gorm.DB) {
			if len(s.keys()) > 1 {
				return find(s.rows(), scope(db).Order(s.byKey()))
			}
			var batches []any
			dest := s.rows()
			tx := scope(db).FindInBatches(dest, size, func(*gorm.DB, int) error {
				// The next batch is read into the same memory.
				batch := reflect.ValueOf(dest).Elem()
				batches = append(batches, reflect.AppendSlice(reflect.MakeSlice(batch.Type(), 0, batch.Len()), batch).Interface())
				if len(batches) > 30 {
					return errBatches // keys that GORM and the database order in different ways never end
				}
				return nil
			})
			return &batches, tx
		})
	case 31:
		field := g.column("computed", s).DBName
		expr := s.keys()[0] + ", COALESCE(" + field + ", " + field + ") AS " + field
		return q("Select "+expr, func(db *gorm.DB) (any, *gorm.DB) { return find(s.rows(), scope(db).Select(expr).Order(s.byKey())) })
	}
	if s.schema.Name == "DiffUser" && form == 32 {
		return q("gorm.G", func(db *gorm.DB) (any, *gorm.DB) {
			users, err := gorm.G[DiffUser](db).Where(c.sql, c.vars...).Order("id").Find(context.Background())
			return users, &gorm.DB{Error: err}
		})
	}
	return g.preloaded(s, scope, q)
}

// joined draws a read of users with joins.
func (g *Draw) joined(s *Table, scope func(*gorm.DB) *gorm.DB, q func(string, Query) Named) Named {
	switch g.Below("join", 9) {
	case 3:
		return q("First, Joins Team", func(db *gorm.DB) (any, *gorm.DB) {
			var user DiffUser
			return &user, scope(db.Joins("Team")).First(&user)
		})
	case 4:
		column, limit := g.column("order", s).DBName, 1+g.Below("limit", 3)
		return q(fmt.Sprintf("Joins Team, order %s, limit %d", column, limit), func(db *gorm.DB) (any, *gorm.DB) {
			var users []DiffUser
			return &users, scope(db.Joins("Team")).Order("diff_users." + column + ", diff_users.id").Limit(limit).Find(&users)
		})
	case 5:
		limit := 1 + g.Below("limit", 3)
		return q(fmt.Sprintf("Joins posts, order by views, limit %d", limit), func(db *gorm.DB) (any, *gorm.DB) {
			var users []DiffUser
			return &users, scope(db.Joins("LEFT JOIN diff_posts p ON p.user_id = diff_users.id AND diff_users.age > p.views")).
				Order("p.views, p.id, diff_users.id").Limit(limit).Find(&users)
		})
	case 6:
		return q("Joins Team, whose key is in the place of that of the user", func(db *gorm.DB) (any, *gorm.DB) {
			var users []DiffUser
			return &users, scope(db.Joins("JOIN diff_teams t ON t.id = diff_users.team_id")).
				Select("diff_users.name, t.id AS id, t.name AS login").Order(s.byKey()).Find(&users)
		})
	case 7:
		return q("sum of ages by Team", func(db *gorm.DB) (any, *gorm.DB) {
			dest := &[]map[string]any{}
			return dest, scope(db.Model(&DiffUser{}).Joins("JOIN diff_teams t ON t.id = diff_users.team_id")).
				Select("t.name AS name, SUM(diff_users.age) AS total").Group("t.name").Order("t.name").Find(dest)
		})
	case 0:
		return q("Joins Team", func(db *gorm.DB) (any, *gorm.DB) {
			var users []DiffUser
			return &users, scope(db.Joins("Team")).Order(s.byKey()).Find(&users)
		})
	case 1:
		rank := g.Below("rank", 3)
		return q(fmt.Sprintf("InnerJoins Team of rank %d", rank), func(db *gorm.DB) (any, *gorm.DB) {
			var users []DiffUser
			team := db.Session(&gorm.Session{NewDB: true}).Where(map[string]any{"rank": rank})
			return &users, scope(db.InnerJoins("Team", team)).Order(s.byKey()).Find(&users)
		})
	case 2:
		views := g.Below("views", 3)
		return q(fmt.Sprintf("Joins posts of %d views", views), func(db *gorm.DB) (any, *gorm.DB) {
			var users []DiffUser
			return &users, scope(db.Joins("JOIN diff_posts p ON p.user_id = diff_users.id AND p.views = ?", views)).Order(s.byKey()).Order("p.id").Find(&users)
		})
	}
	return q("Count with Joins", func(db *gorm.DB) (any, *gorm.DB) {
		var n int64
		return &n, scope(db.Model(&DiffUser{}).Joins("LEFT JOIN diff_teams ON diff_teams.id = diff_users.team_id")).Where("diff_teams.rank > ?", 1).Count(&n)
	})
}

// preloaded draws a read with associations.
func (g *Draw) preloaded(s *Table, scope func(*gorm.DB) *gorm.DB, q func(string, Query) Named) Named {
	order := func(column string) func(*gorm.DB) *gorm.DB {
		return func(db *gorm.DB) *gorm.DB { return db.Order(column) }
	}
	add := func(db *gorm.DB) *gorm.DB { return db }
	name := ""
	switch s.schema.Name {
	case "DiffUser":
		switch g.Below("association", 5) {
		case 0:
			name, add = "Team", func(db *gorm.DB) *gorm.DB { return db.Preload("Team") }
		case 1:
			name, add = "Posts", func(db *gorm.DB) *gorm.DB {
				return db.Preload("Posts", order("id")).Preload("Posts.Notes", order("id"))
			}
		case 2:
			name, add = "Langs", func(db *gorm.DB) *gorm.DB { return db.Preload("Langs", order("code")) }
		case 3:
			name, add = "Notes", func(db *gorm.DB) *gorm.DB { return db.Preload("Notes", order("id")) }
		case 4:
			name, add = "Posts of views over 1", func(db *gorm.DB) *gorm.DB {
				return db.Preload("Posts", func(db *gorm.DB) *gorm.DB { return db.Where("views > ?", 1).Order("id") })
			}
		}
	case "DiffTeam":
		name, add = "Users", func(db *gorm.DB) *gorm.DB {
			return db.Preload("Users", order("id")).Preload("Users.Posts", order("id"))
		}
	case "DiffPost":
		name, add = "Notes", func(db *gorm.DB) *gorm.DB { return db.Preload("Notes", order("id")) }
	case "DiffComment":
		name, add = "Post", func(db *gorm.DB) *gorm.DB { return db.Preload("Post.Notes", order("id")) }
	}
	return q("Find with "+name, func(db *gorm.DB) (any, *gorm.DB) {
		dest := s.rows()
		return dest, add(scope(db)).Order(s.byKey()).Find(dest)
	})
}

// sort brings rows into one order where the database was left to choose it.
func (s *Table) sort(rows any) {
	list := reflect.ValueOf(rows).Elem()
	name := func(i int) string {
		key := ""
		for _, f := range s.schema.PrimaryFields {
			v, _ := f.ValueOf(context.Background(), list.Index(i))
			key += fmt.Sprintf("%012v|", v)
		}
		return key
	}
	swap := reflect.Swapper(list.Interface())
	sort.Sort(rowOrder{list.Len(), func(i, j int) bool { return name(i) < name(j) }, swap})
}

type rowOrder struct {
	n    int
	less func(i, j int) bool
	swap func(i, j int)
}

func (o rowOrder) Len() int { return o.n }

func (o rowOrder) Less(i, j int) bool { return o.less(i, j) }

func (o rowOrder) Swap(i, j int) { o.swap(i, j) }

var errBatches = errors.New("there is no end of batches")

// first is First, which goes by the first column only where a key has several: of its rows with the
// same value the database may answer with any, and with another one each time.
func (s *Table) first(db *gorm.DB, dest any) *gorm.DB {
	if s.schema.PrioritizedPrimaryField == nil {
		db = db.Order(s.byKey())
	}
	return db.First(dest)
}
