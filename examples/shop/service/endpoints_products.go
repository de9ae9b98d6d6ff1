package service

import (
	"net/http"
	"time"
)

// Card is what lists show of a product.
type Card struct {
	ID          uint
	Name        string
	Price       int64
	ReviewCount int
}

func (s *shop) home(r *http.Request) (any, error) {
	var answer struct {
		Categories []Category
		Featured   []Product
		Coupons    []Coupon
	}
	db := s.on(r)
	if err := db.Order("name").Find(&answer.Categories).Error; err != nil {
		return nil, err
	}
	if err := db.Preload("Tags").Where("featured = ?", true).Order("sold DESC, id").Limit(8).Find(&answer.Featured).Error; err != nil {
		return nil, err
	}
	now := time.Now()
	err := db.Where("valid_from <= ? AND valid_until > ?", now, now).Order("percent DESC, id").Limit(3).Find(&answer.Coupons).Error
	return answer, err
}

func (s *shop) coupons(r *http.Request) (any, error) {
	var coupons []Coupon
	err := s.on(r).Where("valid_until > ?", time.Now()).Order("code").Find(&coupons).Error
	return coupons, err
}

func (s *shop) category(r *http.Request) (any, error) {
	var answer struct {
		Category Category
		Total    int64
		Products []Card
	}
	db := s.on(r)
	if err := db.Where("slug = ?", r.PathValue("slug")).First(&answer.Category).Error; err != nil {
		return nil, err
	}
	list := db.Model(&Product{}).Where("category_id = ?", answer.Category.ID)
	if err := list.Session(sharing).Count(&answer.Total).Error; err != nil {
		return nil, err
	}
	err := list.Session(sharing).Scopes(page(r)).Order("name, id").Find(&answer.Products).Error
	return answer, err
}

func (s *shop) product(r *http.Request) (any, error) {
	var answer struct {
		Product Product
		Rating  struct {
			Average float64
			Count   int
		}
		Reviews []Review
	}
	db := s.on(r)
	if err := db.Preload("Tags").Joins("Category").First(&answer.Product, pathID(r)).Error; err != nil {
		return nil, err
	}
	err := db.Model(&Review{}).Select("AVG(stars) AS average, COUNT(*) AS count").
		Where("product_id = ?", answer.Product.ID).Scan(&answer.Rating).Error
	if err != nil {
		return nil, err
	}
	err = db.Preload("User").Where("product_id = ?", answer.Product.ID).Order("likes DESC, id DESC").Limit(10).Find(&answer.Reviews).Error
	return answer, err
}

func (s *shop) related(r *http.Request) (any, error) {
	var cards []struct {
		Card
		Common int
	}
	db := s.on(r)
	tags := db.Table("product_tags").Select("tag_id").Where("product_id = ?", pathID(r))
	err := db.Model(&Product{}).
		Select("products.id, products.name, products.price, products.review_count, COUNT(*) AS common").
		Joins("JOIN product_tags ON product_tags.product_id = products.id").
		Where("product_tags.tag_id IN (?) AND products.id <> ?", tags, pathID(r)).
		Group("products.id, products.name, products.price, products.review_count").
		Order("common DESC, products.id").Limit(6).Scan(&cards).Error
	return cards, err
}

func (s *shop) tag(r *http.Request) (any, error) {
	var answer struct {
		Tag      Tag
		Products []Product
	}
	db := s.on(r)
	if err := db.First(&answer.Tag, "name = ?", r.PathValue("name")).Error; err != nil {
		return nil, err
	}
	err := db.Joins("JOIN product_tags ON product_tags.product_id = products.id AND product_tags.tag_id = ?", answer.Tag.ID).
		Order("products.sold DESC, products.id").Scopes(page(r)).Find(&answer.Products).Error
	return answer, err
}

func (s *shop) search(r *http.Request) (any, error) {
	var answer struct {
		Total    int64
		Products []Card
	}
	found := s.on(r).Model(&Product{}).Where("name LIKE ?", "%"+r.URL.Query().Get("q")+"%")
	if err := found.Session(sharing).Count(&answer.Total).Error; err != nil {
		return nil, err
	}
	err := found.Session(sharing).Scopes(page(r)).Order("sold DESC, id").Find(&answer.Products).Error
	return answer, err
}

func (s *shop) top(r *http.Request) (any, error) {
	var cards []struct {
		Card
		Bought int
	}
	err := s.on(r).Table("order_items").
		Select("products.id, products.name, products.price, products.review_count, SUM(order_items.quantity) AS bought").
		Joins("JOIN products ON products.id = order_items.product_id").
		Where("products.deleted_at IS NULL").
		Group("products.id, products.name, products.price, products.review_count").
		Order("bought DESC, products.id").Limit(10).Scan(&cards).Error
	return cards, err
}

func (s *shop) report(r *http.Request) (any, error) {
	var rows []struct {
		Category string
		Orders   int
		Revenue  int64
	}
	err := s.on(r).Raw(`SELECT c.name AS category, COUNT(DISTINCT o.id) AS orders, SUM(i.quantity * i.price) AS revenue
		FROM orders o
		JOIN order_items i ON i.order_id = o.id
		JOIN products p ON p.id = i.product_id
		JOIN categories c ON c.id = p.category_id
		WHERE o.status <> ? AND o.deleted_at IS NULL
		GROUP BY c.name ORDER BY revenue DESC, c.name`, "cancelled").Scan(&rows).Error
	return rows, err
}
