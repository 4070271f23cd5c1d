package db

import (
	"database/sql"
	"encoding/json"

	"github.com/rekoncile/rekoncile/internal/audit"
)

// verdictText is a verdict as it is stored, "" for none.
func verdictText[T any](v *T) (string, error) {
	if v == nil {
		return "", nil
	}
	text, err := json.Marshal(v)
	return string(text), err
}

// verdictOf reads a verdict as it is stored, nil for none.
func verdictOf[T any](text string) (*T, error) {
	if text == "" {
		return nil, nil
	}
	v := new(T)
	return v, json.Unmarshal([]byte(text), v)
}

// verdicts checks that the level of each file and release that is shown is that of its verdict.
func (f *fsck) verdicts() error {
	if err := f.each("SELECT filename, slsa_build, slsa FROM files", func(rows *sql.Rows) error {
		var name, build, text string
		if err := rows.Scan(&name, &build, &text); err != nil {
			return err
		}
		v, err := verdictOf[audit.SLSAVerdict](text)
		if v == nil {
			v = &audit.SLSAVerdict{}
		}
		if err != nil || string(v.Build) != build {
			f.report("file %s is shown with SLSA Build level %q, which is not that of its verdict", name, build)
		}
		return nil
	}); err != nil {
		return err
	}
	return f.each("SELECT version, slsa_build, slsa FROM releases", func(rows *sql.Rows) error {
		var version, build, text string
		if err := rows.Scan(&version, &build, &text); err != nil {
			return err
		}
		v, err := verdictOf[audit.ReleaseSLSA](text)
		if v == nil {
			v = &audit.ReleaseSLSA{}
		}
		if err != nil || string(v.Build) != build {
			f.report("release %s is shown with SLSA Build level %q, which is not that of its verdict", version, build)
		}
		return nil
	})
}
