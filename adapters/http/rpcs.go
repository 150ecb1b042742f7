package http

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"

	"connectrpc.com/connect"
	"github.com/go-chi/chi/v5"
	"google.golang.org/protobuf/types/dynamicpb"

	niyantav1 "github.com/niyanta/niyanta/api/niyanta/v1"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/adapters/http/rpc"
	"github.com/niyanta/niyanta/core/domain"
)

// rpcCodeOf is the one place that maps codes to those of gRPC.
var rpcCodeOf = map[domain.Code]connect.Code{
	domain.CodeInvalidInput: connect.CodeInvalidArgument,
	domain.CodeInvalidState: connect.CodeFailedPrecondition,
	domain.CodeUnauthorized: connect.CodeUnauthenticated,
	domain.CodeForbidden:    connect.CodePermissionDenied,
	domain.CodeNotFound:     connect.CodeNotFound,
	domain.CodeNoMethod:     connect.CodeUnimplemented,
	domain.CodeConflict:     connect.CodeAlreadyExists,
	domain.CodeFenced:       connect.CodeAborted,
	domain.CodeTooLarge:     connect.CodeResourceExhausted,
	domain.CodeRateLimited:  connect.CodeResourceExhausted,
	domain.CodeUnavailable:  connect.CodeUnavailable,
	domain.CodeInternal:     connect.CodeInternal,
}

// call is a request that is an RPC. admit and limitInFlight have let it pass as they let the
// requests of its operation pass. Then its message becomes a request of the operation, which is
// served as if it had been sent, and whose answer becomes that of the call.
type call struct {
	method *rpc.Method
	w      http.ResponseWriter
	r      *http.Request

	stream  *connect.ServerStream[dynamicpb.Message] // nil: the method answers once
	serving bool                                     // the request of the operation
	served  bool
	failed  *connect.Error // what the operation has failed with
}

// mountRPCs adds the RPCs. They are served under the same checks as operations, by the same
// handlers.
func (a *api) mountRPCs(r chi.Router, handlers gen.ServerInterface) {
	operations := chi.NewRouter()
	operations.Group(func(r chi.Router) {
		r.Use(a.onlyAdmitted)
		a.mountOperations(r, handlers)
	})
	for _, key := range slices.Sorted(maps.Keys(a.ops)) {
		if op := a.ops[key]; op.rpc != nil {
			r.Post(op.rpc.Procedure(), a.serveRPC(a.rpcHandler(op, operations)))
		}
	}
}

// onlyAdmitted lets a request of a call pass if it leads to the operation that the call was admitted
// to. A workload id like "batch" leads to another one; no workload has it.
func (a *api) onlyAdmitted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		op := scopeOf(r.Context()).op
		if r.Method != op.route.Method || chi.RouteContext(r.Context()).RoutePattern() != op.path {
			a.fail(w, r, domain.NotFound("resource"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// serveRPC has a handler serve calls. A batch whose items nobody has seen costs one token.
func (a *api) serveRPC(handler http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s := scopeOf(r.Context())
		s.call.w, s.call.r = w, r
		if s.op.costsItems() {
			r.Body = &wideningBody{ReadCloser: r.Body, a: a, s: s, left: maxBody}
		}
		handler.ServeHTTP(w, r)
		if !s.call.served && s.op.costsItems() {
			_, _, _ = a.Tenancy.Allow(r.Context(), s.principal, 1) // the call is answered
		}
	}
}

// messageOverhead is how much longer a message may be than the JSON of the same request, so that a
// body that is somewhat too large is refused by the operation, with its error.
const messageOverhead = 64 << 10

// maxItemText bounds the text of an item of a message. It is longer than the JSON of the same item:
// JSON in JSON is escaped.
const maxItemText = 4 * maxBody

// rpcHandler returns the handler of a method: for gRPC, gRPC-Web and Connect.
func (a *api) rpcHandler(op operation, operations http.Handler) http.Handler {
	limit, bounds := maxBody+messageOverhead, rpc.Bounds{}
	if op.costsItems() {
		limit = maxBatchBody + messageOverhead
		bounds = rpc.Bounds{Items: int(op.body.each.limit), ItemBytes: maxItemText} //nolint:gosec // small
	}
	options := []connect.HandlerOption{
		connect.WithSchema(op.rpc.Descriptor), connect.WithReadMaxBytes(limit),
		connect.WithCodec(bounds.JSON("json")), connect.WithCodec(bounds.JSON("json; charset=utf-8")),
		connect.WithCodec(bounds.Binary()),
		connect.WithCompression("gzip", nil, nil), // a bomb would be decompressed before anybody counts
		connect.WithRequestInitializer(func(_ connect.Spec, message any) error {
			if m, ok := message.(*dynamicpb.Message); ok {
				*m = *dynamicpb.NewMessage(op.rpc.Descriptor.Input())
			}
			return nil
		}),
	}
	if op.rpc.Descriptor.IsStreamingServer() {
		return connect.NewServerStreamHandler(op.rpc.Procedure(), func(
			ctx context.Context, req *connect.Request[dynamicpb.Message], out *connect.ServerStream[dynamicpb.Message],
		) error {
			c := scopeOf(ctx).call
			c.stream = out
			_, err := a.operate(ctx, c, req.Msg, operations)
			return err
		}, options...)
	}
	return connect.NewUnaryHandler(op.rpc.Procedure(), func(
		ctx context.Context, req *connect.Request[dynamicpb.Message],
	) (*connect.Response[dynamicpb.Message], error) {
		text, err := a.operate(ctx, scopeOf(ctx).call, req.Msg, operations)
		if err != nil {
			return nil, err
		}
		answer := dynamicpb.NewMessage(op.rpc.Descriptor.Output())
		if err := rpc.Decode(text, answer); err != nil {
			return nil, a.rpcError(ctx, scopeOf(ctx).call, err)
		}
		return connect.NewResponse(answer), nil
	}, options...)
}

// operate serves the request of the operation that a message stands for, and returns the JSON of
// the answer.
func (a *api) operate(
	ctx context.Context, c *call, msg *dynamicpb.Message, operations http.Handler,
) ([]byte, error) {
	inner, err := c.method.Request(context.WithValue(ctx, chi.RouteCtxKey, (*chi.Context)(nil)), msg)
	if err != nil {
		return nil, a.rpcError(ctx, c, err)
	}
	for _, key := range c.r.Header.Values(idempotencyKey) { // it may also be metadata
		inner.Header.Add(idempotencyKey, key)
	}
	inner.RemoteAddr, inner.TLS, inner.Host = c.r.RemoteAddr, c.r.TLS, c.r.Host
	answer := &rpcAnswer{header: c.w.Header(), status: http.StatusOK}
	c.serve(answer, inner, operations)
	if c.failed == nil {
		scopeOf(ctx).answered = answer.status
	}
	switch {
	case c.failed != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, connect.NewError(connect.CodeDeadlineExceeded, ctx.Err())
	case c.failed != nil:
		return nil, c.failed
	case answer.status == http.StatusNotImplemented:
		return nil, connect.NewError(connect.CodeUnimplemented, errors.New("the operation is not implemented"))
	case answer.status >= http.StatusBadRequest:
		return nil, a.rpcError(ctx, c, domain.NewError(domain.CodeInternal, "status %d", answer.status))
	}
	return answer.body.Bytes(), nil
}

// serve serves the request of the operation.
func (c *call) serve(w *rpcAnswer, r *http.Request, operations http.Handler) {
	c.served, c.serving = true, true
	contentType := w.header.Get("Content-Type") // that of the call
	defer func() {
		c.serving = false
		w.header.Del("Content-Length")
		w.header.Set("Content-Type", contentType)
	}()
	operations.ServeHTTP(w, r)
}

// rpcError returns the error to answer with, as the operation would have failed with it.
func (a *api) rpcError(ctx context.Context, c *call, err error) error {
	c.serving = true
	a.fail(c.w, c.r.WithContext(ctx), err)
	c.serving = false
	return c.failed
}

// rpcErrors writes errors before a handler has begun, in whatever protocol the client speaks.
var rpcErrors = connect.NewErrorWriter()

// fail answers the call with an error, or keeps it for who serves the operation.
func (c *call) fail(w http.ResponseWriter, body *gen.Error) {
	err := connect.NewError(rpcCodeOf[body.Error.Code], errors.New(body.Error.Message))
	detail := &niyantav1.Error{}
	if text, merr := json.Marshal(body.Error); merr == nil && rpc.Decode(text, detail.ProtoReflect()) == nil {
		if d, derr := connect.NewErrorDetail(detail); derr == nil {
			err.AddDetail(d)
		}
	}
	if c.serving {
		c.failed = err
		return
	}
	_ = rpcErrors.Write(w, c.r, err) // the client has gone; nobody to tell
}

// follow sends the events of a stream until it ends, as stream.serve does.
func (c *call) follow(s *stream) {
	out := http.NewResponseController(c.w)
	defer s.untilEnd(out)()
	why := s.run(func(events []gen.LiveEvent) error {
		if len(events) == 0 {
			return s.within(out, func() error { return c.stream.Send(dynamicpb.NewMessage(c.method.Descriptor.Output())) })
		}
		for i := range events {
			text, err := json.Marshal(struct {
				Event *gen.LiveEvent `json:"event"`
			}{&events[i]})
			if err != nil {
				return err
			}
			msg := dynamicpb.NewMessage(c.method.Descriptor.Output())
			if err := rpc.Decode(text, msg); err != nil {
				return err
			}
			if err := s.within(out, func() error { return c.stream.Send(msg) }); err != nil {
				return err
			}
		}
		return nil
	})
	switch {
	case errors.Is(why, errStopping):
		s.a.fail(c.w, c.r, errStopping)
	case errors.Is(why, errKeyEnded):
		s.a.fail(c.w, c.r, domain.NewError(domain.CodeUnauthorized, "%s", errKeyEnded))
	case errors.Is(why, errStore):
		s.a.fail(c.w, c.r, errStore)
	default: // it has ended as it should, or there is nobody to tell
	}
}

// rpcAnswer is the answer of an operation to a call. Its headers are those of the call.
type rpcAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (w *rpcAnswer) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *rpcAnswer) WriteHeader(status int) { w.status = status }

// Write implements http.ResponseWriter.
func (w *rpcAnswer) Write(b []byte) (int, error) { return w.body.Write(b) }

// wideningBody is the body of a call with many items. Like the body of a request, it takes more
// places in flight once it is larger than others may be.
type wideningBody struct {
	io.ReadCloser

	a    *api
	s    *scope
	left int // bytes until then
}

// Read implements io.Reader.
func (b *wideningBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if before := b.left; before >= 0 {
		if b.left -= n; b.left < 0 {
			if werr := b.s.place.widen(maxBatchBody / maxBody); werr != nil {
				return 0, b.a.rpcError(b.s.call.r.Context(), b.s.call, werr)
			}
		}
	}
	return n, err
}
