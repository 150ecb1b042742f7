package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"github.com/niyanta/niyanta/core/domain"
)

// The SQLSTATEs that this package acts on.
const (
	uniqueViolation     = "23505"
	foreignKeyViolation = "23503"
	serializationFail   = "40001"
	deadlockDetected    = "40P01"
	queryCanceled       = "57014"
)

// retryAfter is the delay that callers are told when the database is not available.
const retryAfter = time.Second

// errOutcomeUnknown means that the answer to a commit was lost and the database could not say in
// time whether it happened.
var errOutcomeUnknown = errors.New("the outcome of a commit is not known")

// translate converts an error of the driver to a domain error. ctx is the caller's: its end is
// returned as it is.
func translate(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cerr := ctx.Err(); cerr != nil {
		return cerr
	}
	var known *domain.Error
	if errors.As(err, &known) {
		return err
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return domain.NotFound("row")
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		if disconnected(err) {
			return unavailable(err)
		}
		// The server is not to blame: an argument cannot be encoded, or a row cannot be decoded.
		// Another try would fail as well.
		return &domain.Error{Code: domain.CodeInternal, Message: "a value cannot be stored or read", Cause: err}
	}
	switch class := pg.Code[:2]; {
	case pg.Code == uniqueViolation:
		return &domain.Error{Code: domain.CodeConflict, Message: "exists already", Cause: err}
	case pg.Code == foreignKeyViolation:
		return &domain.Error{Code: domain.CodeNotFound, Message: "customer not found", Cause: err}
	case class == "08", class == "53", class == "57", class == "40", pg.Code == readOnlyTransaction, pg.Code == "55P03":
		// The connection failed, the server is out of resources, shuts down or cancelled the
		// statement, conflicts outlasted the retries, the server is read-only in the middle of a
		// failover, or a lock was not available.
		return unavailable(err)
	}
	return &domain.Error{Code: domain.CodeInternal, Message: "the database refused a statement", Cause: err}
}

func unavailable(err error) error {
	return &domain.Error{Code: domain.CodeUnavailable, Message: "the database is not available",
		RetryAfter: retryAfter, Cause: err}
}

// disconnected reports whether err means that the server did not answer: refused, reset, closed,
// timed out. Any other error that is not the server's answer is about the values, and would come
// again with every try.
func disconnected(err error) bool {
	var connecting *pgconn.ConnectError
	var network net.Error
	if errors.As(err, &connecting) || errors.As(err, &network) || pgconn.SafeToRetry(err) || pgconn.Timeout(err) {
		return true
	}
	for _, known := range []error{
		context.DeadlineExceeded, context.Canceled, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, pgconn.ErrConnClosed,
		puddle.ErrClosedPool,
		errOutcomeUnknown,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// repeatable reports whether the transaction certainly had no effect and may succeed when it is
// tried again.
func repeatable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == serializationFail || pg.Code == deadlockDetected)
}

// refused reports whether the server answered that a statement failed, so that nothing was
// committed. A server that says that it shuts down may have committed before.
func refused(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code[:2] != "57" && pg.Code[:2] != "08"
}

// NotWritable reports whether err means that the database answers but takes no writes: it is
// read-only (a standby, maintenance), its disk is full or broken, or the user may not write.
func NotWritable(err error) bool {
	if standby(err) {
		return true
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	switch pg.Code {
	case readOnlyTransaction, "53100", "58030", "42501": // and disk_full, io_error, insufficient_privilege
		return true
	}
	return false
}
