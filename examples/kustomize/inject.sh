#!/bin/sh
exec asya-operator krm "$@"
