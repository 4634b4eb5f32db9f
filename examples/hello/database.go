package main

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"
)

// A database is a PostgreSQL pool that is made when it is first asked for, so that the service starts without one.
type database struct {
	url string // empty: there is no database

	mu   sync.Mutex
	pool *pgxpool.Pool
}

// A databaseStatus is the answer to GET /db.
type databaseStatus struct {
	Configured  bool   `json:"configured"`
	Reachable   bool   `json:"reachable"`
	Connections int32  `json:"connections"`
	Error       string `json:"error,omitempty"`
}

// status pings the database, if there is one.
func (d *database) status(ctx context.Context) databaseStatus {
	if d.url == "" {
		return databaseStatus{}
	}
	status := databaseStatus{Configured: true}
	pool, err := d.open()
	if err == nil {
		err = pool.Ping(ctx)
		status.Connections = pool.Stat().TotalConns()
	}
	if err != nil {
		status.Error = err.Error()
	}
	status.Reachable = err == nil
	return status
}

func (d *database) open() (*pgxpool.Pool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pool != nil {
		return d.pool, nil
	}
	// The pool outlives the request that asked for it first, so it isn't bound to that request's context.
	pool, err := pgxpool.New(context.Background(), d.url)
	d.pool = pool
	return pool, err
}

func (d *database) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pool != nil {
		d.pool.Close()
	}
}
