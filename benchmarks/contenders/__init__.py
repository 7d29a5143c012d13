"""The systems that can be measured: TaskForge and its peers, behind one face."""
