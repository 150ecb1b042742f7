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

// SQLSTATEs that are acted on.
const (
	uniqueViolation     = "23505"
	foreignKeyViolation = "23503"
	serializationFail   = "40001"
	deadlockDetected    = "40P01"
	queryCanceled       = "57014"
)

// retryAfter is what callers are told when the database is away.
const retryAfter = time.Second

// errOutcomeUnknown tells that a commit's answer was lost and the database could not be asked in time what became of it.
var errOutcomeUnknown = errors.New("the outcome of a commit is not known")

// translate makes a domain error of what the driver says. ctx is the caller's own: its end surfaces as itself.
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
		// The server was not the trouble: an argument that cannot be encoded, a row that cannot be decoded. Trying again would fail again.
		return &domain.Error{Code: domain.CodeInternal, Message: "a value cannot be stored or read", Cause: err}
	}
	switch class := pg.Code[:2]; {
	case pg.Code == uniqueViolation:
		return &domain.Error{Code: domain.CodeConflict, Message: "exists already", Cause: err}
	case pg.Code == foreignKeyViolation:
		return &domain.Error{Code: domain.CodeNotFound, Message: "customer not found", Cause: err}
	case class == "08", class == "53", class == "57", class == "40", pg.Code == "25006", pg.Code == "55P03":
		// Connection trouble, out of resources, shutting down or cancelled, conflicts beyond the retries, a read-only server
		// in the middle of a failover, a lock that was not available.
		return unavailable(err)
	}
	return &domain.Error{Code: domain.CodeInternal, Message: "the database refused a statement", Cause: err}
}

func unavailable(err error) error {
	return &domain.Error{Code: domain.CodeUnavailable, Message: "the database is not available", RetryAfter: retryAfter, Cause: err}
}

// disconnected reports whether err means that the server did not answer: refused, reset, closed, timed out. Everything else that is
// not the server's own answer is about the values, and comes again however often it is tried.
func disconnected(err error) bool {
	var connecting *pgconn.ConnectError
	var network net.Error
	if errors.As(err, &connecting) || errors.As(err, &network) || pgconn.SafeToRetry(err) || pgconn.Timeout(err) {
		return true
	}
	for _, known := range []error{
		context.DeadlineExceeded, context.Canceled, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, pgconn.ErrConnClosed, puddle.ErrClosedPool,
		errOutcomeUnknown,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// repeatable reports whether the transaction certainly had no effect and may succeed when tried again.
func repeatable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == serializationFail || pg.Code == deadlockDetected)
}

// refused reports whether the server itself answered that a statement failed, so that nothing was committed. A server
// that says it shuts down may have committed before.
func refused(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code[:2] != "57" && pg.Code[:2] != "08"
}

// NotWritable reports whether an error means that the database answers, but takes no writes: it is read-only (a standby, a
// maintenance), its disk is full or broken, or the user may not write.
func NotWritable(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	switch pg.Code {
	case "25006", "53100", "58030", "42501": // read_only_sql_transaction, disk_full, io_error, insufficient_privilege
		return true
	}
	return false
}
