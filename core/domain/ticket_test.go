package domain_test

import (
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

func TestTicketDigest_WhateverItIsAsked_KnowsTheFormOfATicket(t *testing.T) {
	ticket := domain.FormatTicket([20]byte{1, 2, 3})
	digest, ok := domain.TicketDigest(ticket)
	require.True(t, ok)
	require.Equal(t, sha256.Sum256([]byte(ticket)), digest)
	for _, bad := range []string{
		"", "tkt_", ticket + "0", ticket[:len(ticket)-1], strings.ToUpper(ticket), "x" + ticket,
		"tkt_" + strings.Repeat("\x00", 32), "tkt_" + strings.Repeat("%", 32),
		domain.APIKey{CustomerID: "cust_a"}.Format([20]byte{1}),
	} {
		_, ok := domain.TicketDigest(bad)
		require.False(t, ok, "%q", bad)
	}
	_, _, ok = domain.KeyPrefix(ticket)
	require.False(t, ok, "a ticket is no key")
}

func TestTicket_AfterItsLifetime_HasExpired(t *testing.T) {
	made := time.Unix(1_700_000_000, 0)
	ticket := domain.Ticket{CreatedAt: made}
	require.False(t, ticket.Expired(made.Add(domain.LinkLifetime-1), domain.LinkLifetime))
	require.True(t, ticket.Expired(made.Add(domain.LinkLifetime), domain.LinkLifetime))
}
