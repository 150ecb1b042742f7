package http

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
)

const (
	// maxMessage bounds a message from a client, in bytes.
	maxMessage = domain.TokenLimit + 1<<10
	// Clients have nothing to say but their key. What they say otherwise is ignored, pings and pongs
	// included, up to messageBurst at once and one each messageInterval.
	messageBurst    = 30
	messageInterval = time.Second
	// tokenTimeout is how long a client may take to send its key, tokenlessLimit how many clients may
	// be about to.
	tokenTimeout   = 10 * time.Second
	tokenlessLimit = 1000
	// closeTimeout is how long connections that were cut off may take to be noticed.
	closeTimeout = time.Second
	// closeCode is added to the status of an error for the code that the connection is closed with.
	closeCode = 4000
	// maxReason bounds the reason that a connection is closed for, in bytes.
	maxReason = 123
)

// The causes with which the stream of a WebSocket ends early.
var (
	errClientLeft   = errors.New("the client has left")
	errClientTalks  = errors.New("the client sends too much")
	errClientSilent = errors.New("the client does not answer a ping")
)

// socket is the WebSocket of a request. Once it is open, the request is answered, and errors are
// told by closing it.
type socket struct {
	a    *api
	r    *http.Request
	wire net.Conn        // below conn
	conn *websocket.Conn // nil: not open

	ignored   *rate.Limiter
	end       context.CancelCauseFunc // ends the stream; nil: there is none yet
	listening chan struct{}           // closed when nobody listens to the client any more; nil: nobody does yet
	pings     *time.Timer
	writing   atomic.Bool
}

// isUpgrade reports whether the operation speaks WebSocket.
func (o operation) isUpgrade() bool {
	return o.route.Operation.Responses.Value("101") != nil
}

// serveSocket calls next for a request whose operation speaks WebSocket. When it returns, the
// WebSocket is closed.
func (a *api) serveSocket(w http.ResponseWriter, r *http.Request, next http.Handler) {
	k := &socket{a: a, r: r, ignored: rate.NewLimiter(rate.Every(messageInterval), messageBurst)}
	scopeOf(r.Context()).socket = k
	a.sockets.enter(k)
	defer a.sockets.leave(k)
	defer k.cut()
	next.ServeHTTP(w, r)
}

// open accepts the WebSocket, unless it is open.
func (k *socket) open(w http.ResponseWriter) error {
	if k.conn != nil {
		return nil
	}
	answer := &upgrade{ResponseWriter: w, socket: k}
	conn, err := websocket.Accept(answer, k.r, &websocket.AcceptOptions{
		OriginPatterns: k.a.SocketOrigins, CompressionMode: websocket.CompressionDisabled,
		OnPingReceived: func(context.Context, []byte) bool { return k.ignore() },
		OnPongReceived: func(context.Context, []byte) { k.ignore() },
	})
	switch {
	case answer.refused == http.StatusForbidden:
		return domain.NewError(domain.CodeForbidden,
			"pages of this origin may not open a WebSocket here: the operator lists those that may in "+
				"NIYANTA_SOCKET_ORIGINS")
	case answer.refused != 0:
		return domain.Invalid("Upgrade", "must be the handshake of a WebSocket, version 13")
	case err != nil:
		return fmt.Errorf("open a WebSocket: %w", err)
	}
	conn.SetReadLimit(maxMessage)
	k.a.sockets.opened(k, conn)
	return nil
}

// upgrade passes an answer that accepts a WebSocket. It holds back one that refuses it, and notes its
// status.
type upgrade struct {
	http.ResponseWriter

	socket  *socket
	refused int
}

// WriteHeader implements http.ResponseWriter.
func (u *upgrade) WriteHeader(status int) {
	if status != http.StatusSwitchingProtocols {
		u.refused = status
		return
	}
	u.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (u *upgrade) Write(p []byte) (int, error) { return len(p), nil }

// Hijack implements http.Hijacker.
func (u *upgrade) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	wire, buffered, err := http.NewResponseController(u.ResponseWriter).Hijack()
	u.socket.wire = wire
	return wire, buffered, err
}

// ignore counts something that the client has sent, and reports whether it is to be ignored. If
// there is too much, the stream ends.
func (k *socket) ignore() bool {
	if k.ignored.Allow() {
		return true
	}
	if k.end != nil {
		k.end(errClientTalks)
	}
	return false
}

// credentials returns who opens a WebSocket: by the key of the header, by a ticket of the URL, or by
// the first message, for which the WebSocket is opened.
func (k *socket) credentials(w http.ResponseWriter) (domain.Principal, error) {
	ctx := k.r.Context()
	ticket, err := ticketOf(k.r.URL)
	switch {
	case err != nil:
		return domain.Principal{}, err
	case k.r.Header.Get("Authorization") != "" || len(k.r.Header.Values("Authorization")) > 1:
		return k.a.Tenancy.Authenticate(ctx, bearer(k.r))
	case ticket != "":
		return k.a.redeem(ctx, ticket)
	case k.r.Header.Get("Upgrade") == "":
		return k.a.Tenancy.Authenticate(ctx, "")
	}
	token, err := k.token(w)
	if err != nil {
		return domain.Principal{}, err
	}
	return k.a.Tenancy.Authenticate(ctx, token)
}

// ticketOf returns the ticket of a URL. URLs end up in logs and histories, so that one with anything
// that may be a key is refused, before anything else is looked at.
func ticketOf(u *url.URL) (string, error) {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return "", domain.Invalid("query", "is not well formed")
	}
	const advice = "send the key as a header, as the first message, or use a ticket"
	for name := range query {
		if name != "ticket" && name != "last_event_id" {
			return "", domain.Invalid(domain.CleanAndCut(name, 100), "is not a parameter of this endpoint; %s", advice)
		}
	}
	tickets := query["ticket"]
	plain, _, _ := strings.Cut(query.Get("ticket"), bearerSeparator)
	switch _, ok := domain.TicketDigest(plain); {
	case len(tickets) == 0:
		return "", nil
	case len(tickets) > 1 || !ok:
		return "", domain.Invalid("ticket", "must be one ticket; %s", advice)
	}
	return tickets[0], nil
}

// token opens the WebSocket and returns the key of its first message.
func (k *socket) token(w http.ResponseWriter) (string, error) {
	if err := k.a.tokenless.enter("", 1); err != nil {
		return "", err
	}
	defer k.a.tokenless.leave("", 1)
	if err := k.open(w); err != nil {
		return "", err
	}
	late := time.AfterFunc(tokenTimeout, func() {
		k.close(closeCode+http.StatusRequestTimeout, fmt.Sprintf("no token within %s", tokenTimeout))
	})
	defer late.Stop()
	defer context.AfterFunc(k.a.Stopping, k.stop)()
	kind, text, err := k.conn.Read(context.Background()) //nolint:contextcheck // whose end would not close it cleanly
	if err != nil {
		return "", errClientLeft
	}
	var first struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(text, &first); err != nil || kind != websocket.MessageText || first.Token == "" {
		return "", domain.Invalid("token", `is missing: the first message must be {"token": "<key>"}`)
	}
	return first.Token, nil
}

// VisitFollowWorkloadResponse implements gen.FollowWorkloadResponseObject.
func (s *stream) VisitFollowWorkloadResponse(w http.ResponseWriter) error {
	k := s.scope.socket
	why, err := k.serve(w, s)
	if err == nil {
		k.finish(why)
	}
	return err
}

// serve writes events until the stream ends, and returns why it did.
func (k *socket) serve(w http.ResponseWriter, s *stream) (why, err error) {
	defer s.close()
	if err := k.open(w); err != nil {
		return nil, err
	}
	s.scope.began = time.Now()
	s.ctx, k.end = context.WithCancelCause(s.ctx)
	defer k.end(nil)
	k.listening = make(chan struct{})
	go k.listen()
	k.pings = time.AfterFunc(math.MaxInt64, k.ping)
	k.pings.Reset(k.a.StreamHeartbeat) // only now, as ping looks at k.pings
	defer k.pings.Stop()
	return s.run(func(events []gen.LiveEvent) error {
		k.writing.Store(true)
		defer k.writing.Store(false)
		ctx, cancel := s.sending()
		defer cancel()
		for i := range events {
			text, err := json.Marshal(&events[i])
			if err == nil {
				err = k.conn.Write(ctx, websocket.MessageText, text)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}), nil
}

// finish tells the client why the stream has ended.
func (k *socket) finish(why error) {
	switch {
	case errors.Is(why, io.EOF):
		k.close(websocket.StatusNormalClosure, "the workload has ended")
	case errors.Is(why, errStopping):
		k.stop()
	case errors.Is(why, errKeyEnded):
		k.close(closeCode+http.StatusUnauthorized, errKeyEnded.Error())
	case errors.Is(why, errClientTalks):
		k.close(websocket.StatusPolicyViolation, errClientTalks.Error())
	case errors.Is(why, errStore):
		k.close(closeCode+http.StatusInternalServerError, "internal error")
	default: // there is nobody to tell
	}
}

// listen reads what the client sends, ignores it, and ends the stream when the client leaves.
func (k *socket) listen() {
	defer close(k.listening)
	for {
		_, message, err := k.conn.Reader(context.Background())
		if err == nil {
			_, err = io.Copy(io.Discard, message)
		}
		if err != nil {
			k.end(errClientLeft)
			return
		}
		if !k.ignore() {
			return
		}
	}
}

// ping asks the client whether it is there, again and again. A client that is being written to
// shows that by taking what is written.
func (k *socket) ping() {
	if !k.writing.Load() {
		ctx, cancel := context.WithTimeout(context.Background(), k.a.StreamHeartbeat)
		defer cancel()
		if k.conn.Ping(ctx) != nil {
			k.end(errClientSilent)
			return
		}
	}
	k.pings.Reset(k.a.StreamHeartbeat)
}

// stop tells the client that the server shuts down.
func (k *socket) stop() {
	k.close(websocket.StatusGoingAway, "the coordinator shuts down: connect again")
}

// fail tells the client an error.
func (k *socket) fail(err error) {
	if errors.Is(err, errClientLeft) {
		return
	}
	e := k.a.classify(k.r, err)
	k.close(closeCode+websocket.StatusCode(statusOf[e.Code]), e.Message)
}

// close closes the WebSocket, if nobody does yet, and waits for the client to confirm that, for some
// seconds at most.
func (k *socket) close(code websocket.StatusCode, reason string) {
	_ = k.conn.Close(code, domain.CleanAndCut(reason, maxReason)) // a client that has gone is told nothing
}

// cut ends the connection without a word. After that nobody listens to the client any more.
func (k *socket) cut() {
	if k.conn == nil {
		return
	}
	_ = k.wire.Close()
	_ = k.conn.CloseNow() // frees what it holds
	if k.listening != nil {
		<-k.listening
	}
}

// sockets are the requests of WebSockets that are served. http.Server.Shutdown does not wait for
// them.
type sockets struct {
	mu     sync.Mutex
	served map[*socket]bool
	empty  chan struct{} // to close when none is served; nil: nobody waits for that
}

func (s *sockets) enter(k *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.served == nil {
		s.served = map[*socket]bool{}
	}
	s.served[k] = true
}

func (s *sockets) opened(k *socket, conn *websocket.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k.conn = conn
}

func (s *sockets) leave(k *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(s.served, k); len(s.served) == 0 && s.empty != nil {
		close(s.empty)
		s.empty = nil
	}
}

// drain waits until none is served. When ctx ends, it cuts the connections that are left.
func (s *sockets) drain(ctx context.Context) error {
	s.mu.Lock()
	if len(s.served) == 0 {
		s.mu.Unlock()
		return nil
	}
	if s.empty == nil {
		s.empty = make(chan struct{})
	}
	empty := s.empty
	s.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	var left []net.Conn
	for k := range s.served {
		if k.conn != nil {
			left = append(left, k.wire)
		}
	}
	s.mu.Unlock()
	for _, wire := range left {
		_ = wire.Close() // its handler notices
	}
	select {
	case <-empty:
	case <-time.After(closeTimeout):
	}
	return fmt.Errorf("%d WebSockets: %w", len(left), ctx.Err())
}
