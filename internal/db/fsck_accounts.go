package db

import "database/sql"

// accounts works out again what accounts for each entry, and where what is open is filed.
func (f *fsck) accounts() error {
	if err := f.each(`SELECT a.entry_id, a.account, `+accountOf+` FROM accounts a WHERE a.account NOT IN ('new', 'due')`, func(rows *sql.Rows) error {
		var id int64
		var held, is string
		if err := rows.Scan(&id, &held, &is); err != nil {
			return err
		}
		f.counts["accounts of entries"]++
		if held != is {
			f.report("entry %d is accounted for as %q, and should be as %q", id, held, is)
		}
		return nil
	}); err != nil {
		return err
	}
	return f.each(`SELECT e.id FROM entries e LEFT JOIN accounts a ON a.entry_id = e.id WHERE a.entry_id IS NULL
		UNION SELECT o.entry_id FROM open_entries o JOIN accounts a ON a.entry_id = o.entry_id WHERE a.account NOT IN ('open', 'partly', 'due')
		UNION SELECT a.entry_id FROM accounts a JOIN entry_certificates ec ON ec.entry_id = a.entry_id JOIN certificates c ON c.id = ec.certificate_id
			LEFT JOIN open_entries o ON o.entry_id = a.entry_id AND o.job_id = c.job_id WHERE a.account IN ('open', 'partly') AND o.entry_id IS NULL`, func(rows *sql.Rows) error {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return err
		}
		f.report("entry %d is not where its account says", id)
		return nil
	})
}
