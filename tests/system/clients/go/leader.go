package main

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// Two candidates: one leads, the other takes over once the first lets go.
func electLeaders(ctx context.Context, at stage) error {
	client, err := kubernetes.NewForConfig(at.config)
	if err != nil {
		return err
	}
	first, err := candidate(ctx, client, at.namespace, "first")
	if err != nil {
		return err
	}
	if err := first.leads(ctx); err != nil {
		return err
	}
	second, err := candidate(ctx, client, at.namespace, "second")
	if err != nil {
		return err
	}
	if err := eventually(ctx, "the second sees who leads", func(context.Context) (bool, error) {
		return second.elector.GetLeader() == "first", nil
	}); err != nil {
		return err
	}
	first.stop()
	if err := second.leads(ctx); err != nil {
		return err
	}
	lease, err := client.CoordinationV1().Leases(at.namespace).Get(ctx, "leader", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if *lease.Spec.HolderIdentity != "second" || *lease.Spec.LeaseTransitions < 1 || lease.Spec.RenewTime.IsZero() {
		return fmt.Errorf("the lease says %v", lease.Spec)
	}
	second.stop()
	return nil
}

type contender struct {
	name    string
	elector *leaderelection.LeaderElector
	leading chan struct{}
	stop    context.CancelFunc
}

func candidate(ctx context.Context, client kubernetes.Interface, namespace, name string) (*contender, error) {
	lock, err := resourcelock.New(resourcelock.LeasesResourceLock, namespace, "leader",
		client.CoreV1(), client.CoordinationV1(), resourcelock.ResourceLockConfig{Identity: name})
	if err != nil {
		return nil, err
	}
	leading := make(chan struct{})
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock:            lock,
		LeaseDuration:   6 * time.Second,
		RenewDeadline:   4 * time.Second,
		RetryPeriod:     200 * time.Millisecond,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { close(leading) },
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(ctx)
	go elector.Run(running)
	return &contender{name, elector, leading, stop}, nil
}

func (c *contender) leads(ctx context.Context) error {
	select {
	case <-c.leading:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s never led: %w", c.name, ctx.Err())
	}
}
