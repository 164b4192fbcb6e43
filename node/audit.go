package node

import (
	"context"

	"covey.dev/covey/api/audit"
)

// openAudit opens the audit log, if there is to be one.
func (n *node) openAudit() (err error) {
	if n.cfg.AuditLog == "" {
		return nil
	}
	cfg := audit.Config{Path: n.cfg.AuditLog, MaxBytes: n.cfg.AuditMaxBytes, Logger: n.log}
	if n.cfg.AuditPolicy != "" {
		if cfg.Policy, err = audit.ReadPolicy(n.cfg.AuditPolicy); err != nil {
			return err
		}
	}
	n.audit, err = audit.Open(cfg)
	return err
}

// runAudit writes the audit log while inner runs, and what is left when that has ended.
func (n *node) runAudit(ctx context.Context, inner func(context.Context) error) error {
	if n.audit == nil {
		return inner(ctx)
	}
	return over(ctx, n.audit.Run, inner)
}
