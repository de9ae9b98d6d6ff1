package preload

import (
	"database/sql"
	"database/sql/driver"

	"github.com/gorm-preload/preload/internal/commit"
	"github.com/gorm-preload/preload/internal/observed"
	"gorm.io/gorm"
)

// Connector returns a connector whose connections the plugin can observe. Open a pool with it, and
// GORM on that pool, where other code has to find the *sql.DB and the *sql.Tx that GORM has without
// the plugin:
//
//	db, err := gorm.Open(postgres.New(postgres.Config{Conn: sql.OpenDB(preload.Connector(c))}))
//	err = db.Use(preload.New())
//
// The plugin recognizes such a pool by itself, and puts nothing in front of it. It then also sees
// what is written through the *sql.DB itself, by other *gorm.DB on that pool, and in transactions
// that are begun by a statement on a single connection.
//
// (*sql.Conn).Raw gives a connection that is observed; Unwrap gives the driver's own. What is done
// with that one, such as CopyFrom of pgx, is not seen.
func Connector(c driver.Connector) driver.Connector { return observed.NewConnector(c) }

// Driver returns a driver that does for sql.Open, and for the DriverName of a dialector, what
// Connector does for sql.OpenDB:
//
//	sql.Register("pgx+preload", preload.Driver(stdlib.GetDefaultDriver()))
//	db, err := gorm.Open(postgres.New(postgres.Config{DriverName: "pgx+preload", DSN: dsn}))
func Driver(d driver.Driver) driver.Driver { return observed.NewDriver(d) }

// Unwrap returns the connection of the driver itself, where (*sql.Conn).Raw gave one that is
// observed, and the driver itself of the (*sql.DB).Driver of such a pool. It returns anything else
// as it is.
func Unwrap(connOrDriver any) any { return observed.Unwrap(connOrDriver) }

// SQLTx returns the transaction of database/sql that a transaction of GORM runs on, for code that
// wants that type: publishers of outboxes, barriers of distributed transactions,
// tx.Statement.ConnPool.(*sql.Tx). It reports false where tx is no transaction.
//
// What such code writes, and a commit by it, the plugin sees only in a pool that was opened with
// Connector or Driver. In another one the transaction has to be ended by GORM, and the models of
// tables that are written so have to be given to Invalidate. From then on memory answers no read of
// the transaction, and nothing that it reads is kept. If a statement of such code fails, the
// database may have ended the transaction (MySQL does at a deadlock): write nothing more in it.
func SQLTx(tx *gorm.DB) (*sql.Tx, bool) { return commit.SQLTx(tx) }
