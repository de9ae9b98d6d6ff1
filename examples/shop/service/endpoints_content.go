package service

import (
	"net/http"

	"gorm.io/gorm"
)

func (s *shop) writeReview(r *http.Request) (any, error) {
	var form struct {
		Stars int
		Text  string
	}
	if err := body(r, &form); err != nil {
		return nil, err
	}
	user, err := s.user(r)
	if err != nil {
		return nil, err
	}
	review := Review{ProductID: pathID(r), UserID: user.ID, Stars: form.Stars, Text: form.Text}
	err = s.on(r).Transaction(func(tx *gorm.DB) error {
		var product Product
		if err := tx.First(&product, review.ProductID).Error; err != nil {
			return err
		}
		if err := tx.Omit("User").Create(&review).Error; err != nil {
			return err
		}
		return tx.Model(&product).UpdateColumn("review_count", gorm.Expr("review_count + ?", 1)).Error
	})
	return review, err
}

func (s *shop) likeReview(r *http.Request) (any, error) {
	liked := s.on(r).Model(&Review{}).Where("id = ?", pathID(r)).UpdateColumn("likes", gorm.Expr("likes + ?", 1))
	return map[string]any{"Liked": liked.RowsAffected}, liked.Error
}

func (s *shop) deleteReview(r *http.Request) (any, error) {
	var review Review
	if err := s.on(r).First(&review, pathID(r)).Error; err != nil {
		return nil, err
	}
	err := s.on(r).Delete(&review).Error
	return map[string]any{"Deleted": review.ID}, err
}

func (s *shop) tagProduct(r *http.Request) (any, error) {
	var form struct{ Name string }
	if err := body(r, &form); err != nil {
		return nil, err
	}
	db := s.on(r)
	var product Product
	if err := db.First(&product, pathID(r)).Error; err != nil {
		return nil, err
	}
	var tag Tag
	if err := db.Where(Tag{Name: form.Name}).FirstOrCreate(&tag).Error; err != nil {
		return nil, err
	}
	err := db.Model(&product).Association("Tags").Append(&tag)
	return tag, err
}

func (s *shop) changePrice(r *http.Request) (any, error) {
	var form struct{ Price int64 }
	if err := body(r, &form); err != nil {
		return nil, err
	}
	var product Product
	if err := s.on(r).First(&product, pathID(r)).Error; err != nil {
		return nil, err
	}
	err := s.on(r).Model(&product).Update("price", form.Price).Error
	return product, err
}

// deliver adds to what there is of a product, with a row that was read before.
func (s *shop) deliver(r *http.Request) (any, error) {
	var form struct{ Pieces int }
	if err := body(r, &form); err != nil {
		return nil, err
	}
	var product Product
	err := s.on(r).Transaction(func(tx *gorm.DB) error {
		if err := tx.First(&product, pathID(r)).Error; err != nil {
			return err
		}
		return tx.Model(&product).Updates(Product{Stock: product.Stock + form.Pieces}).Error
	})
	return product, err
}
