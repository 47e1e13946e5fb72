"""Tests on a cluster that runs pods: kubelet, KEDA, RabbitMQ and the project's own image."""
