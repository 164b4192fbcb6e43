package upstream

import "context"

// FollowConfig implements agent.Upstream.
func (u *Upstream) FollowConfig(ctx context.Context, changed func(namespace, name string)) error {
	return keepUp(ctx, "ConfigMaps and Secrets", func() error { return u.followConfig(ctx, changed) })
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
