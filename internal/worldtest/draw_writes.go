package worldtest

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Write draws a write in one of the forms in which GORM writes.
func (g *Draw) Write() Write {
	switch n := g.Below("write", 100); {
	case n < 34:
		return g.update()
	case n < 44:
		return g.create()
	case n < 51:
		return g.upsert()
	case n < 55:
		return g.save()
	case n < 64:
		return g.delete()
	case n < 69:
		return g.changeKey()
	case n < 82:
		return g.raw()
	case n < 85:
		return g.firstOrCreate()
	case n < 88:
		return g.generic()
	}
	return g.associate()
}

// set draws what an update sets, as a map: values, expressions, other columns, sub-queries.
func (g *Draw) set(s *Table) (set map[string]any, text string) {
	set = g.values("set", s, 3, false)
	text = fmt.Sprint(set)
	if !g.Chance("expression", 25) {
		return set, text
	}
	f := g.number("set", s)
	if f.PrimaryKey || !f.Updatable {
		return set, text
	}
	expr := OneOf(g, "set expression", "COALESCE("+f.DBName+", 0) + 1", "NULL", "0", g.number("from", s).DBName,
		"(SELECT MAX(rank_of) FROM (SELECT 2 AS rank_of) AS one)")
	set[f.DBName] = gorm.Expr(expr)
	return set, fmt.Sprintf("%s, %s = %s", text, f.DBName, expr)
}

// rename gives some columns of a map the names of their fields, which GORM takes as well.
func (g *Draw) rename(s *Table, set map[string]any) map[string]any {
	renamed := map[string]any{}
	fields := g.Chance("names of fields", 15)
	for column, v := range set {
		if f := s.schema.FieldsByDBName[column]; fields {
			column = f.Name
		}
		renamed[column] = v
	}
	return renamed
}

func (g *Draw) update() Write {
	s := g.table("update")
	c := g.cond(s, false)
	set, text := g.set(s)
	set = g.rename(s, set)
	// GORM may write to what it is given.
	values := func() map[string]any { return maps.Clone(set) }
	name := func(form string) string {
		return fmt.Sprintf("%s of %s set %s where %s", form, s.schema.Name, text, c.text)
	}
	model := func(db *gorm.DB) *gorm.DB { return c.apply(db.Model(s.model())) }
	switch g.Below("update form", 20) {
	case 0, 1, 2:
		return Write{name("Updates map"), func(db *gorm.DB) error { return model(db).Updates(values()).Error }}
	case 3:
		return Write{name("UpdateColumns map"), func(db *gorm.DB) error { return model(db).UpdateColumns(values()).Error }}
	case 4, 5:
		// By the key in the model, and nothing else, or a condition besides.
		key, keyText := g.rowLike("key", s, true)
		with, text := g.Chance("condition besides", 25), "no more"
		if with {
			text = c.text
		}
		return Write{fmt.Sprintf("Updates map of the model %s %s set %v and %s", s.schema.Name, keyText, set, text), func(db *gorm.DB) error {
			tx := db.Model(key())
			if with {
				tx = c.apply(tx)
			}
			return tx.Updates(values()).Error
		}}
	case 6, 7:
		f := g.column("one", s)
		v := g.value("one", f)
		form := "Update"
		update := func(db *gorm.DB) error { return model(db).Update(f.DBName, v).Error }
		if g.Chance("UpdateColumn", 50) {
			form, update = "UpdateColumn", func(db *gorm.DB) error { return model(db).UpdateColumn(f.DBName, v).Error }
		}
		return Write{fmt.Sprintf("%s of %s set %s = %v where %s", form, s.schema.Name, f.DBName, v, c.text), update}
	case 8, 9, 10:
		row, rowText := g.rowLike("struct", s, g.Chance("struct with key", 20))
		form, limit := "", func(db *gorm.DB) *gorm.DB { return db }
		switch column := g.column("selected", s).DBName; g.Below("selected form", 6) {
		case 0, 1:
			form, limit = " select "+column, func(db *gorm.DB) *gorm.DB { return db.Select(column) }
		case 2:
			form, limit = " select *", func(db *gorm.DB) *gorm.DB { return db.Select("*") }
		case 3:
			form, limit = " omit "+column, func(db *gorm.DB) *gorm.DB { return db.Omit(column) }
		}
		if g.Chance("struct as columns", 30) {
			return Write{fmt.Sprintf("UpdateColumns struct of %s %s%s where %s", s.schema.Name, rowText, form, c.text),
				func(db *gorm.DB) error { return limit(model(db)).UpdateColumns(row()).Error }}
		}
		return Write{fmt.Sprintf("Updates struct of %s %s%s where %s", s.schema.Name, rowText, form, c.text),
			func(db *gorm.DB) error { return limit(model(db)).Updates(row()).Error }}
	case 11:
		row, rowText := g.rowLike("struct", s, true)
		return Write{fmt.Sprintf("Updates struct by its own key of %s %s", s.schema.Name, rowText), func(db *gorm.DB) error { return db.Updates(row()).Error }}
	case 12, 13:
		return Write{name("Table.Updates"), func(db *gorm.DB) error { return c.apply(db.Table(s.name())).Updates(values()).Error }}
	case 14:
		if g.dialect == "mysql" {
			break
		}
		return Write{name("returning Updates"), func(db *gorm.DB) error {
			return c.apply(db.Model(s.rows()).Clauses(clause.Returning{})).Updates(values()).Error
		}}
	case 15:
		return Write{name("unscoped Updates"), func(db *gorm.DB) error { return model(db).Unscoped().Updates(values()).Error }}
	case 16:
		return Write{name("global Updates"), func(db *gorm.DB) error {
			return db.Session(&gorm.Session{AllowGlobalUpdate: true}).Model(s.model()).Updates(values()).Error
		}}
	case 17:
		return Write{name("prepared Updates"), func(db *gorm.DB) error {
			return model(db.Session(&gorm.Session{PrepareStmt: true})).Updates(values()).Error
		}}
	case 18:
		return Write{name("Updates with a scope"), func(db *gorm.DB) error {
			return db.Model(s.model()).Scopes(c.apply).Updates(values()).Error
		}}
	}
	column := g.column("omitted", s).DBName
	return Write{name("Updates map omit " + column), func(db *gorm.DB) error { return model(db).Omit(column).Updates(values()).Error }}
}

func (g *Draw) create() Write {
	s := g.table("create")
	key := func(label string) bool {
		return len(s.keys()) > 1 || s.schema.PrioritizedPrimaryField == nil || g.Chance(label, 50)
	}
	row, text := g.rowLike("row", s, key("row with key"))
	name := func(form string) string { return fmt.Sprintf("%s of %s %s", form, s.schema.Name, text) }
	bare := func(db *gorm.DB) *gorm.DB { return db.Omit(clause.Associations) }
	switch g.Below("create form", 10) {
	case 0, 1, 2:
		return Write{name("Create"), func(db *gorm.DB) error { return db.Create(row()).Error }}
	case 3:
		column := g.column("omitted", s).DBName
		return Write{name("Create omit " + column), func(db *gorm.DB) error { return db.Omit(column).Create(row()).Error }}
	case 4:
		column := g.column("selected", s).DBName
		return Write{name("Create select " + column), func(db *gorm.DB) error { return db.Select(column, s.keys()[0]).Create(row()).Error }}
	case 5, 6:
		more, moreText := g.rowLike("row", s, key("row with key"))
		text += " and " + moreText
		size := 1 + g.Below("batch", 2)
		return Write{name(fmt.Sprint("CreateInBatches ", size)), func(db *gorm.DB) error {
			rows := []any{row(), more(), row()}
			return bare(db).CreateInBatches(s.list(rows[:1+size]), size).Error
		}}
	case 7:
		values := g.values("map", s, 5, true)
		return Write{fmt.Sprintf("Create map of %s %v", s.schema.Name, values), func(db *gorm.DB) error {
			return db.Model(s.model()).Create(maps.Clone(values)).Error
		}}
	case 8:
		a, b := g.values("map", s, 4, true), g.values("map", s, 4, true)
		return Write{fmt.Sprintf("Create maps of %s %v %v", s.schema.Name, a, b), func(db *gorm.DB) error {
			return db.Model(s.model()).Create([]map[string]any{maps.Clone(a), maps.Clone(b)}).Error
		}}
	}
	values := g.values("map", s, 5, true)
	return Write{fmt.Sprintf("Table.Create map of %s %v", s.name(), values), func(db *gorm.DB) error {
		return db.Table(s.name()).Create(maps.Clone(values)).Error
	}}
}

func (g *Draw) upsert() Write {
	s := g.table("upsert")
	row, text := g.rowLike("row", s, true)
	more, moreText := g.rowLike("row", s, true)
	target := s.keys()
	if len(s.unique) > 0 && g.Chance("by unique", 50) {
		target = s.unique
	}
	var columns []clause.Column
	for _, name := range target {
		columns = append(columns, clause.Column{Name: name})
	}
	conflict, form := clause.OnConflict{Columns: columns}, ""
	switch g.Below("conflict", 6) {
	case 0, 1:
		conflict, form = clause.OnConflict{DoNothing: true}, "nothing"
	case 2:
		conflict.UpdateAll, form = true, "all"
	case 3, 4:
		update := []string{g.column("assigned", s).DBName, g.column("assigned", s).DBName}
		conflict.DoUpdates, form = clause.AssignmentColumns(update), fmt.Sprint("columns ", update)
	case 5:
		values := g.values("assigned", s, 2, false)
		if f := g.number("assigned", s); f.Updatable && !f.PrimaryKey {
			values[f.DBName] = gorm.Expr("COALESCE(" + s.name() + "." + f.DBName + ", 0) + 1")
		}
		conflict.DoUpdates, form = clause.Assignments(values), fmt.Sprint("values ", slices.Sorted(maps.Keys(values)))
	}
	name := fmt.Sprintf("upsert of %s on %v, %s: %s", s.schema.Name, target, form, text)
	if g.Chance("batch", 30) {
		return Write{name + " and " + moreText, func(db *gorm.DB) error {
			return db.Clauses(conflict).Create(s.list([]any{row(), more()})).Error
		}}
	}
	return Write{name, func(db *gorm.DB) error { return db.Clauses(conflict).Create(row()).Error }}
}

func (g *Draw) save() Write {
	s := g.table("save")
	row, text := g.rowLike("row", s, g.Chance("row with key", 80))
	if g.Chance("batch", 25) {
		more, moreText := g.rowLike("row", s, true)
		return Write{fmt.Sprintf("Save of %s %s and %s", s.schema.Name, text, moreText), func(db *gorm.DB) error {
			return db.Save(s.list([]any{row(), more()})).Error
		}}
	}
	return Write{fmt.Sprintf("Save of %s %s", s.schema.Name, text), func(db *gorm.DB) error { return db.Save(row()).Error }}
}

func (g *Draw) delete() Write {
	s := g.table("delete")
	c := g.cond(s, false)
	scope, name := c.apply, "Delete"
	if g.Chance("unscoped", 40) {
		scope, name = func(db *gorm.DB) *gorm.DB { return c.apply(db).Unscoped() }, "unscoped Delete"
	}
	name += " of " + s.schema.Name
	switch g.Below("delete form", 6) {
	case 0, 1:
		row, text := g.rowLike("row", s, true)
		return Write{name + " by value " + text, func(db *gorm.DB) error { return db.Delete(row()).Error }}
	case 2:
		key := g.value("key", s.schema.PrimaryFields[0])
		return Write{fmt.Sprintf("%s by the key %v", name, key), func(db *gorm.DB) error { return db.Delete(s.model(), key).Error }}
	case 3:
		return Write{"Table." + name + " where " + c.text, func(db *gorm.DB) error { return scope(db.Table(s.name())).Delete(nil).Error }}
	}
	return Write{name + " where " + c.text, func(db *gorm.DB) error { return scope(db).Delete(s.model()).Error }}
}

// changeKey draws an update that gives a row another key, or takes its soft deletion back.
func (g *Draw) changeKey() Write {
	s := g.table("change")
	if s.schema.Name == "DiffUser" && g.Chance("undelete", 50) {
		c := g.cond(s, false)
		return Write{"undelete users where " + c.text, func(db *gorm.DB) error {
			return c.apply(db.Unscoped().Model(&DiffUser{})).Update("deleted_at", nil).Error
		}}
	}
	f := s.schema.PrimaryFields[g.Below("key", len(s.keys()))]
	from, to := g.value("from", f), g.value("to", f)
	return Write{fmt.Sprintf("key %s of %s from %v to %v", f.DBName, s.schema.Name, from, to), func(db *gorm.DB) error {
		return db.Model(s.model()).Where(f.DBName+" = ?", from).Update(f.DBName, to).Error
	}}
}

func (g *Draw) raw() Write {
	s := g.table("raw")
	table := s.name()
	switch form := g.Below("name", 5); {
	case form == 1:
		table = g.quote(table)
	case form == 2 && g.dialect != "mysql": // whose names of tables may be files
		table = strings.ToUpper(table)
	}
	where, vars := g.predicate(s, false)
	if g.Chance("one row", 40) {
		where, vars = g.byKeyOrUnique(s, false)
	}
	text := ""
	var args []any
	switch g.Below("raw form", 6) {
	case 0, 1, 2:
		var parts []string
		values := g.values("set", s, 2, g.Chance("set key", 15))
		for _, column := range slices.Sorted(maps.Keys(values)) {
			name := column
			if g.Chance("quoted", 30) {
				name = g.quote(column)
			}
			if literal, ok := g.literal(values[column]); ok && g.Chance("literal", 50) {
				parts = append(parts, name+" = "+literal)
			} else {
				parts, args = append(parts, name+"=?"), append(args, values[column])
			}
		}
		if f := g.number("set", s); len(parts) == 0 || !f.PrimaryKey && f.Updatable && values[f.DBName] == nil && g.Chance("expression", 25) {
			parts = append(parts, f.DBName+" = "+f.DBName+" + 1")
		}
		text = OneOf(g, "update", "UPDATE ", "update ", "/* x */ UPDATE ") + table + " SET " + strings.Join(parts, ", ") + " WHERE " + where
	case 3:
		text = "DELETE FROM " + table + " WHERE " + where
	case 4:
		values := g.values("insert", s, 4, true)
		columns := slices.Sorted(maps.Keys(values))
		if len(columns) == 0 {
			columns = []string{s.columns[1].DBName}
		}
		for _, column := range columns {
			args = append(args, values[column])
		}
		text, vars = "INSERT INTO "+table+" ("+strings.Join(columns, ", ")+") VALUES ("+strings.TrimSuffix(strings.Repeat("?, ", len(columns)), ", ")+")", nil
	case 5:
		column := g.column("copied", s).DBName
		text = "INSERT INTO " + table + " (" + column + ") SELECT " + column + " FROM " + s.name() + " WHERE " + where
	}
	text += OneOf(g, "end", "", "", "", ";")
	args = append(args, vars...)
	return Write{fmt.Sprintf("%s %v", text, args), func(db *gorm.DB) error { return db.Exec(text, args...).Error }}
}

func (g *Draw) firstOrCreate() Write {
	s := g.table("first or create")
	where, attrs := g.values("where", s, 2, true), g.values("attrs", s, 3, false)
	name := fmt.Sprintf("FirstOrCreate of %s where %v", s.schema.Name, where)
	if g.Chance("assign", 50) {
		return Write{fmt.Sprintf("%s assign %v", name, attrs), func(db *gorm.DB) error {
			return db.Where(maps.Clone(where)).Assign(maps.Clone(attrs)).FirstOrCreate(s.model()).Error
		}}
	}
	return Write{fmt.Sprintf("%s attrs %v", name, attrs), func(db *gorm.DB) error {
		return db.Where(s.row(where)).Attrs(s.row(attrs)).FirstOrCreate(s.model()).Error
	}}
}

// generic draws a write through the generic API.
func (g *Draw) generic() Write {
	s := g.tables[0]
	ctx := context.Background()
	text, vars := g.predicate(s, false)
	f := g.column("set", s)
	v := g.value("set", f)
	name := fmt.Sprintf("gorm.G of users set %s = %v where %s %v", f.DBName, v, text, vars)
	switch g.Below("generic form", 4) {
	case 0:
		return Write{name + ", delete", func(db *gorm.DB) error {
			_, err := gorm.G[DiffUser](db).Where(text, vars...).Delete(ctx)
			return err
		}}
	case 1:
		return Write{name + ", Set", func(db *gorm.DB) error {
			_, err := gorm.G[DiffUser](db).Where(text, vars...).Set(clause.Assignment{Column: clause.Column{Name: f.DBName}, Value: v}).Update(ctx)
			return err
		}}
	case 2:
		row, rowText := g.rowLike("row", s, false)
		return Write{name + ", Updates " + rowText, func(db *gorm.DB) error {
			_, err := gorm.G[DiffUser](db).Where(text, vars...).Updates(ctx, *row().(*DiffUser))
			return err
		}}
	}
	return Write{name, func(db *gorm.DB) error {
		_, err := gorm.G[DiffUser](db).Where(text, vars...).Update(ctx, f.DBName, v)
		return err
	}}
}

// associate draws a write to associations.
func (g *Draw) associate() Write {
	id, other, text := 1+uint(g.Below("id", 5)), 1+uint(g.Below("other id", 5)), OneOf(g, "text", "a", "b", "A", "x", "y")
	user := func(db *gorm.DB, name string) *gorm.Association { return db.Model(&DiffUser{ID: id}).Association(name) }
	forms := []struct {
		name string
		do   func(db *gorm.DB) error
	}{
		{"append lang", func(db *gorm.DB) error { return user(db, "Langs").Append(&DiffLang{Code: text, Name: text}) }},
		{"replace langs", func(db *gorm.DB) error { return user(db, "Langs").Replace(&DiffLang{Code: text, Name: text}) }},
		{"delete lang", func(db *gorm.DB) error { return user(db, "Langs").Delete(&DiffLang{Code: text}) }},
		{"clear langs", func(db *gorm.DB) error { return user(db, "Langs").Clear() }},
		{"append post", func(db *gorm.DB) error { return user(db, "Posts").Append(&DiffPost{Title: text}) }},
		{"append known post", func(db *gorm.DB) error { return user(db, "Posts").Append(&DiffPost{ID: other, Title: text}) }},
		{"replace posts", func(db *gorm.DB) error {
			return user(db, "Posts").Unscoped().Replace(&DiffPost{ID: other, Title: text})
		}},
		{"delete posts", func(db *gorm.DB) error { return user(db, "Posts").Unscoped().Delete(&DiffPost{ID: other}) }},
		{"clear posts", func(db *gorm.DB) error { return user(db, "Posts").Unscoped().Clear() }},
		{"append note", func(db *gorm.DB) error { return user(db, "Notes").Append(&DiffNote{Text: text}) }},
		{"clear notes", func(db *gorm.DB) error { return user(db, "Notes").Unscoped().Clear() }},
		{"append team", func(db *gorm.DB) error { return user(db, "Team").Append(&DiffTeam{ID: other, Name: text}) }},
		{"clear team", func(db *gorm.DB) error {
			return db.Model(&DiffUser{ID: id, TeamID: &other}).Association("Team").Clear()
		}},
		{"replace users of team", func(db *gorm.DB) error {
			return db.Model(&DiffTeam{ID: id}).Association("Users").Replace(&DiffUser{ID: other, Login: text})
		}},
		{"clear users of team", func(db *gorm.DB) error { return db.Model(&DiffTeam{ID: id}).Association("Users").Clear() }},
		{"delete user of team", func(db *gorm.DB) error {
			return db.Model(&DiffTeam{ID: id}).Association("Users").Delete(&DiffUser{ID: other})
		}},
		{"create with all", func(db *gorm.DB) error {
			return db.Create(&DiffUser{Login: text, Team: &DiffTeam{ID: id, Name: text}, Posts: []DiffPost{{ID: other, Title: text}, {Title: text}},
				Langs: []DiffLang{{Code: text}}, Notes: []DiffNote{{Text: text}}}).Error
		}},
		{"save with all", func(db *gorm.DB) error {
			return db.Session(&gorm.Session{FullSaveAssociations: true}).Save(&DiffUser{ID: id, Login: text, Team: &DiffTeam{ID: other, Name: text},
				Posts: []DiffPost{{ID: other, Title: text}}, Langs: []DiffLang{{Code: "a", Name: text}}}).Error
		}},
		{"delete with all", func(db *gorm.DB) error { return db.Select(clause.Associations).Delete(&DiffUser{ID: id}).Error }},
		{"append note to post", func(db *gorm.DB) error {
			return db.Model(&DiffPost{ID: id}).Association("Notes").Append(&DiffNote{ID: other, Text: text})
		}},
		{"create comment with post", func(db *gorm.DB) error {
			return db.Create(&DiffComment{Body: text, Post: &DiffPost{ID: other, UserID: id, Title: text}}).Error
		}},
		{"move comments", func(db *gorm.DB) error {
			return db.Model(&DiffComment{}).Where("post_id = ?", id).Update("post_id", other).Error
		}},
	}
	form := forms[g.Below("association", len(forms))]
	return Write{fmt.Sprintf("%s of %d (%d, %q)", form.name, id, other, text), form.do}
}

// list makes a slice of rows.
func (s *Table) list(rows []any) any {
	list := reflect.ValueOf(s.rows())
	for _, row := range rows {
		list.Elem().Set(reflect.Append(list.Elem(), reflect.ValueOf(row).Elem()))
	}
	return list.Interface()
}

// Write is a write with everything in it drawn.
type Write struct {
	Name string
	Do   func(db *gorm.DB) error
}
