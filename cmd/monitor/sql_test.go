package main

import (
	"database/sql"
	"testing"

	_ "modernc.org/sqlite" // the driver
)

// execSQL changes a record behind the program's back.
func execSQL(t *testing.T, path, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
