package upstream

import (
	"context"
	"errors"
	"fmt"

	"covey.dev/covey/store"
)

// FollowConfig implements agent.Upstream.
func (u *Upstream) FollowConfig(ctx context.Context, changed func(namespace, name string)) error {
	for {
		err := u.followConfig(ctx, changed)
		if ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, store.ErrExpired) {
			return fmt.Errorf("follow ConfigMaps and Secrets: %w", err)
		}
	}
}

func (u *Upstream) followConfig(ctx context.Context, changed func(namespace, name string)) error {
	watch, err := u.source.Watch(u.source.Snapshot().Revision(), "configmaps", "secrets")
	if err != nil {
		return err
	}
	changed("", "")
	for {
		events, err := watch.Next(ctx)
		if err != nil {
			return err
		}
		for _, ev := range events {
			if ev.Cur != nil {
				changed(ev.Cur.Key().Namespace, ev.Cur.Key().Name)
			}
		}
	}
}
