// Package link watches a connection to a message broker: it tells whether the other end answers,
// logs each change once, and has a connection replaced that was dropped without a word. How to ask
// the other end, and how to connect, is the adapter's.
package link
