"""Social posting: each post once, whatever breaks between us and the platform."""

from tasks.social_posting import job as job
