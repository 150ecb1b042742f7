package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/niyanta/niyanta/core/ports"
)

const (
	// reconnectLeast and reconnectMost bound the pause before the process listens anew. It is
	// deafPause after a connection over which nothing ever came back: the next one will be like it.
	reconnectLeast = 100 * time.Millisecond
	reconnectMost  = 5 * time.Second
	deafPause      = time.Minute
)

// hintChannel is the name of the channel. Installations in several schemas of one database have a
// channel each.
const hintChannel = "'niyanta_' || left(md5(coalesce(current_schema(), '')), 16)"

// wakeMissed is why the loops of this process are woken when it begins to listen.
const wakeMissed = "notifications may have been missed"

// listenConfig returns the configuration of the connection that listens.
func (s *Store) listenConfig(o HintOptions) (*pgxpool.Config, error) {
	cfg, err := poolConfig(cmp.Or(o.URL, s.url), 1)
	if err != nil {
		return nil, err
	}
	onPrimary(cfg.ConnConfig)
	cfg.ConnConfig.OnNotification = nil // WaitForNotification returns them
	if s.dial != nil {
		cfg.ConnConfig.DialFunc = s.dial
	}
	return cfg, nil
}

// listenLoop listens until ctx ends, over a new connection whenever one fails.
func (h *Hints) listenLoop(ctx context.Context, cfg *pgxpool.Config) {
	pause := reconnectLeast
	failing := false
	for ctx.Err() == nil {
		heard, err := h.listen(ctx, cfg)
		h.mu.Lock()
		h.heard = time.Time{}
		h.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
		if heard {
			pause, failing = reconnectLeast, false
		}
		if !failing {
			failing = true
			h.o.Log.Warn("listening to the database's notifications failed; polling goes on", "error", err)
		}
		if errors.Is(err, errDeaf) {
			pause = deafPause
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, reconnectMost)
	}
}

var errDeaf = errors.New("what this process sends does not come back: a pooler cannot be between it and the database")

// listen listens over one connection until that fails. heard reports whether it has worked.
func (h *Hints) listen(ctx context.Context, cfg *pgxpool.Config) (heard bool, err error) {
	now := cfg.ConnConfig.Copy()
	if err := cfg.BeforeConnect(ctx, now); err != nil {
		return false, err
	}
	conn, err := connect(ctx, now)
	if err != nil {
		return false, fmt.Errorf("connect: %w", err)
	}
	defer func() {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), partTimeout)
		defer cancel()
		_ = conn.Close(bounded) // it may have failed already
	}()
	bounded, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var channel string
	if err := conn.QueryRow(bounded, "SELECT "+hintChannel).Scan(&channel); err != nil {
		return false, err
	}
	if _, err := conn.Exec(bounded, "LISTEN "+pgx.Identifier{channel}.Sanitize()); err != nil {
		return false, err
	}
	h.mu.Lock()
	h.pending.ask = true
	h.mu.Unlock()
	h.wakeSender()
	last := time.Now()
	for {
		waited, cancel := context.WithTimeout(ctx, beatInterval)
		n, err := conn.WaitForNotification(waited)
		timeout := waited.Err() != nil
		cancel()
		switch {
		case ctx.Err() != nil:
			return heard, ctx.Err()
		case err == nil:
			if h.receive(ctx, n.Payload, !heard) {
				heard, last = true, time.Now()
			}
		case !timeout:
			return heard, err
		}
		switch silence := time.Since(last); {
		case silence <= silenceLimit:
		case heard: // the network went silent, or this process stood still
			return heard, fmt.Errorf("nothing was heard for %s", silence.Round(time.Second))
		default:
			return heard, errDeaf
		}
	}
}

// receive handles a payload. It reports whether this process sent it. first tells that none of its
// own has come back over this connection before.
func (h *Hints) receive(ctx context.Context, payload string, first bool) (own bool) {
	var m hintMessage
	if err := json.Unmarshal([]byte(payload), &m); err != nil || m.From == "" {
		h.o.Observer.Count("bus_message_bad", 1)
		return false
	}
	if m.From == h.o.Name {
		h.hear(ctx, first)
		return true
	}
	h.meet(m.From, m.Presence)
	commands, badCommands := decodeAll[addressed](m.Commands)
	for _, c := range commands {
		h.LocalHints.Command(ctx, c.Worker, c.Command)
	}
	for _, reason := range m.Wakes {
		h.LocalHints.Wake(ctx, reason)
	}
	updates, badUpdates := decodeAll[ports.Update](m.Updates)
	h.LocalHints.Updated(ctx, updates...)
	if bad := badCommands + badUpdates; bad > 0 {
		h.o.Observer.Count("bus_message_bad", bad)
	}
	return false
}

// hear notes that a message of this process came back. After the first one over a connection the
// loops look for what they may have missed, before the hints count as working.
func (h *Hints) hear(ctx context.Context, first bool) {
	if first {
		h.LocalHints.Wake(ctx, wakeMissed)
	}
	h.mu.Lock()
	h.heard = time.Now()
	h.mu.Unlock()
	if !first {
		return
	}
	select {
	case <-h.listened:
		h.o.Log.Info("listening to the database's notifications again")
	default:
		close(h.listened)
	}
}

// meet notes that another process is there, and answers it.
func (h *Hints) meet(name string, p *presence) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p != nil && p.Leaves {
		delete(h.peers, name)
		return
	}
	known := h.peers[name]
	known.heard = time.Now()
	if p != nil {
		known.follows = p.Follows
		h.pending.presence = h.pending.presence || p.Ask
	}
	h.peers[name] = known
	if h.pending.presence {
		h.wakeSender()
	}
}

// sendLoop sends what is pending: while one statement is under way, the next gathers.
func (h *Hints) sendLoop(ctx context.Context) {
	beat := time.NewTicker(beatInterval)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			h.part(ctx)
			return
		case <-h.work:
		case <-beat.C:
			h.beat()
		}
		h.send(ctx, false)
	}
}

// beat has the others told that this process is there, and forgets those that have not been heard.
func (h *Hints) beat() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, p := range h.peers {
		if time.Since(p.heard) > silenceLimit {
			delete(h.peers, name)
		}
	}
	h.pending.presence = true
	h.followed = h.followers > 0
}

// part sends what is pending and says that this process leaves.
func (h *Hints) part(ctx context.Context) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), partTimeout)
	defer cancel()
	h.send(bounded, true)
}

// send sends what is pending. What cannot be sent is lost, and counted.
func (h *Hints) send(ctx context.Context, leaving bool) {
	h.mu.Lock()
	pending := h.pending
	h.pending = pendingHints{}
	var p *presence
	if pending.presence || pending.ask || leaving {
		p = &presence{Follows: h.followsLocked(), Ask: pending.ask, Leaves: leaving}
	}
	h.mu.Unlock()
	texts, dropped := pack(h.o.Name, p, &pending)
	if dropped > 0 {
		h.o.Observer.Count("hint_dropped", dropped)
	}
	var err error
	if len(texts) > 0 {
		_, err = exec(ctx, h.store.pool, "SELECT pg_notify("+hintChannel+", p) FROM unnest($1::text[]) AS u(p)", texts)
	}
	if err != nil && ctx.Err() == nil {
		h.o.Observer.Count("bus_publish_failed", 1)
		h.o.Log.Debug("hints not sent", "error", err)
	}
}
