"""Lead scoring: fit and engagement, grade, bucket and the reasons for them."""
