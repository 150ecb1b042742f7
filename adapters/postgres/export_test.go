package postgres

import "context"

// ExecAll executes statements on a database.
func ExecAll(url string, statements ...string) error {
	db, err := openSQL(url)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	for _, s := range statements {
		if _, err := db.ExecContext(context.Background(), s); err != nil {
			return err
		}
	}
	return nil
}
