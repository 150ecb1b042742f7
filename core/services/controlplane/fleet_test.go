package controlplane

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/mock/gomock"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/ports/mocks"
)

type emptyAudit struct{ ports.AuditStore }

func (emptyAudit) Worker(context.Context, domain.WorkerID, int64, int) ([]domain.AuditEvent, error) {
	return nil, nil
}

// TestReadEvents_OfAWorkerThatHasJustRegistered_FindsIt: the audit may come from a replica that is behind.
func TestReadEvents_OfAWorkerThatHasJustRegistered_FindsIt(t *testing.T) {
	ctrl := gomock.NewController(t)
	workers := mocks.NewMockWorkerStore(ctrl)
	workers.EXPECT().List(gomock.Any(), domain.WorkerID("w")).Return([]domain.Worker{{ID: "w"}}, nil)
	workers.EXPECT().List(gomock.Any(), domain.WorkerID("nobody")).Return(nil, nil)
	s := New(Config{}, Deps{Audit: emptyAudit{}, Workers: workers, Clock: wallClock{}})
	events, err := s.ReadEvents(t.Context(), "w", 0, 10)
	require.NoError(t, err)
	assert.Empty(t, events)
	_, err = s.ReadEvents(t.Context(), "nobody", 0, 10)
	assert.Equal(t, domain.CodeNotFound, domain.CodeOf(err))
}
